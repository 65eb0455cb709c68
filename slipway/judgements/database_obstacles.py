"""What can stand in the way in a database although every right is given.

Each obstacle is a query that returns its cases: a name, and the statement that removes it. Looked
at is what would make a backup, its proof, a migration or a rollback fail; nothing else.
`statement_timeout`, `lock_timeout`, time zone and the like are set anew by every session of
slipway, by pg_dump and by pg_restore, whatever role or database say. What only keeps the restored
copy from following production blocks nothing: a rollback then loses what was written since.
"""

from dataclasses import dataclass, replace

from slipway.judgements.database_rights import Login

SESSIONS = 8
"""Connections that must be free. A backup holds four at once, its restore with two jobs four; the
probes and a rollback's two sides come beside one of them, never beside both."""


@dataclass(frozen=True)
class Obstacle:
    """One kind of obstacle. `{names}` in `what` are its cases."""

    what: str
    why: str
    query: str
    blocks: bool = True
    after_rights: bool = False
    """A missing right would show here too: looked at only when all of them are given."""
    needs_monitor: bool = False
    """Looked at only by a member of pg_monitor."""
    login: Login = Login.PRODUCTION
    copies: bool = False
    """Looked at also on another server that the plan keeps its copies on."""


_OF_USERS = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'"


def _own(catalog: str) -> str:
    """A condition: a user's object that is no part of an extension or of another object."""
    return (
        f"x.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.deptype IN ('e', 'i')"
        f" AND e.classid = '{catalog}'::regclass AND e.objid = x.oid)"
    )


_OWNED = " UNION ALL ".join(
    f"SELECT '{catalog}'::regclass, x.oid, x.{owner} FROM {catalog} x WHERE {_own(catalog)}{more}"
    for catalog, owner, more in (
        (
            "pg_class",
            "relowner",
            " AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relpersistence <> 't'"
            # a column's sequence belongs to whoever the table belongs to
            " AND NOT (relkind = 'S' AND EXISTS (SELECT FROM pg_depend a WHERE a.deptype = 'a'"
            " AND a.classid = 'pg_class'::regclass AND a.objid = x.oid))",
        ),
        ("pg_namespace", "nspowner", " AND nspname !~ '^pg_'"),
        ("pg_proc", "proowner", ""),
        ("pg_type", "typowner", " AND typtype IN ('e', 'd', 'r')"),
        ("pg_largeobject_metadata", "lomowner", ""),
    )
)
_SCOPE = """coalesce((
    SELECT CASE WHEN s.setrole <> 0 AND s.setdatabase <> 0
                THEN format('ALTER ROLE %I IN DATABASE %I', current_user, current_database())
                WHEN s.setrole <> 0 THEN format('ALTER ROLE %I', current_user)
                WHEN s.setdatabase <> 0 THEN format('ALTER DATABASE %I', current_database())
                ELSE 'ALTER ROLE ALL' END || ' RESET ' || p.name || ';'
    FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase
    LEFT JOIN pg_roles r ON r.oid = s.setrole
    WHERE (s.setdatabase = 0 OR d.datname = current_database())
      AND (s.setrole = 0 OR r.rolname = current_user)
      AND EXISTS (SELECT FROM unnest(s.setconfig) e WHERE starts_with(e, p.name || '='))
    ORDER BY s.setrole = 0, s.setdatabase = 0 LIMIT 1),
    format('ALTER SYSTEM RESET %s; SELECT pg_reload_conf();', p.name))"""
"""The statement that takes back a setting `p`, where it is set most narrowly."""

OBSTACLES = (
    Obstacle(
        "The server behind database.url is a standby ({names}).",
        "nothing can be written there",
        "SELECT 'in recovery', 'Let database.url and database.admin_url lead to the primary.'"
        " WHERE pg_is_in_recovery()",
        copies=True,
    ),
    Obstacle(
        "Sessions of role {role} in {database} begin read-only ({names}).",
        "migrations and the restore of a backup write",
        # the statement itself would be refused in a session that began read-only
        f"SELECT p.name || ' = on', 'SET ' || p.name || ' = off; ' || {_SCOPE} FROM pg_settings p"
        " WHERE p.name = 'default_transaction_read_only' AND p.reset_val = 'on'",
        copies=True,
    ),
    Obstacle(
        "Too few connections are free for slipway: {names}.",
        "a backup in the middle of which a connection is refused has failed",
        f"""
        WITH used AS (SELECT datname, usename FROM pg_stat_activity
                      WHERE coalesce(backend_type, 'client backend') = 'client backend'
                        AND pid <> pg_backend_pid()),
        limits AS (
            SELECT 'server' AS what,
                   'ALTER SYSTEM SET max_connections = %s; then restart it.' AS how,
                   current_setting('max_connections')::int
                   - current_setting('superuser_reserved_connections')::int
                   - coalesce(current_setting('reserved_connections', true), '0')::int AS most,
                   current_setting('max_connections')::int AS given,
                   (SELECT count(*) FROM used) AS taken
            UNION ALL
            SELECT 'role ' || rolname, format('ALTER ROLE %I CONNECTION LIMIT ', rolname) || '%s;',
                   rolconnlimit, rolconnlimit,
                   (SELECT count(*) FROM used WHERE usename = current_user)
            FROM pg_roles WHERE rolname = current_user AND rolconnlimit >= 0
            UNION ALL
            SELECT 'database ' || datname,
                   format('ALTER DATABASE %I CONNECTION LIMIT ', datname) || '%s;',
                   datconnlimit, datconnlimit,
                   (SELECT count(*) FROM used WHERE datname = current_database())
            FROM pg_database WHERE datname = current_database() AND datconnlimit >= 0)
        SELECT format('%s: %s of %s', what, greatest(most - taken, 0), most),
               replace(how, '%s', (given + {SESSIONS} - (most - taken))::text)
        FROM limits WHERE most - taken < {SESSIONS}""",
        copies=True,
    ),
    Obstacle(
        "Prepared transactions are open in {database}: {names}.",
        "they hold locks against a migration, and a database that has one cannot be renamed",
        "SELECT format('%s of %s', gid, owner), format('ROLLBACK PREPARED %L; or COMMIT PREPARED"
        " %L; whoever began it knows which.', gid, gid)"
        " FROM pg_prepared_xacts WHERE database = current_database()",
    ),
    Obstacle(
        "Workers of the server keep {database} open: {names}.",
        "they come back when they are ended, and an open database cannot be renamed",
        "SELECT DISTINCT backend_type, CASE WHEN backend_type LIKE 'logical replication%'"
        " THEN coalesce((SELECT string_agg(format('ALTER SUBSCRIPTION %I DISABLE;', subname), ' ')"
        "  FROM pg_subscription WHERE subenabled AND subdbid ="
        "  (SELECT oid FROM pg_database WHERE datname = current_database())), '')"
        " ELSE 'Let it work from another database, such as postgres.' END"
        " FROM pg_stat_activity WHERE datname = current_database() AND backend_type NOT IN"
        " ('client backend', 'walsender', 'autovacuum worker', 'parallel worker')",
        needs_monitor=True,
    ),
    Obstacle(
        "Superusers are connected to {database}: {names}.",
        "slipway may not end their sessions, and a rollback of the database would fail",
        "SELECT DISTINCT a.usename, 'Close them, or connect with lesser rights.'"
        " FROM pg_stat_activity a JOIN pg_roles r ON r.rolname = a.usename"
        " WHERE a.datname = current_database() AND r.rolsuper AND a.pid <> pg_backend_pid()"
        " AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)",
        blocks=False,  # they come and go: whoever looks into production for a minute stops nobody
    ),
    Obstacle(
        "Role {role} cannot read {names} in {database}.",
        "a backup holds everything or is none",
        "SELECT format('%I.%I', n.nspname, c.relname), 'GRANT pg_read_all_data TO {role};'"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE c.relkind IN ('r', 'p', 'm', 'S', 'v', 'f') AND {_OF_USERS}"
        " AND c.relpersistence <> 't' AND NOT (has_schema_privilege(n.oid, 'USAGE') AND"
        " CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT')"
        " ELSE has_table_privilege(c.oid, 'SELECT') END)",
        after_rights=True,
    ),
    Obstacle(
        "Role {role} cannot read the large objects {names} in {database}.",
        "a backup holds everything or is none",
        "SELECT l.oid::text, format('GRANT SELECT ON LARGE OBJECT %s TO {role};', l.oid)"
        " FROM pg_largeobject_metadata l WHERE NOT pg_has_role(l.lomowner, 'USAGE')"
        " AND NOT EXISTS (SELECT FROM aclexplode(l.lomacl) a WHERE a.privilege_type = 'SELECT'"
        " AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))",
        after_rights=True,
    ),
    Obstacle(
        "Row security hides rows of {names} from role {role}.",
        "a backup holds everything or is none",
        "SELECT x.oid::regclass::text, 'ALTER ROLE {role} BYPASSRLS;' FROM pg_class x"
        " WHERE x.relrowsecurity AND row_security_active(x.oid)",
        after_rights=True,
    ),
    Obstacle(
        "Role {role} cannot give to others what they own in {database}: {names}.",
        "the restore of a backup gives everything to whom it belonged",
        "SELECT o.type || ' ' || o.identity || ' of ' || pg_get_userbyid(f.owner),"
        " format('ALTER %s %s OWNER TO {owner};', upper(o.type), o.identity)"
        f" FROM ({_OWNED}) AS f(class, oid, owner), pg_identify_object(f.class, f.oid, 0) o"
        " WHERE NOT pg_has_role(f.owner, '{set}')",
        after_rights=True,
    ),
    Obstacle(
        "Role {role} may not install again the extensions {names} of {database}.",
        "the restore of a backup creates every extension, and these ask for a superuser",
        "SELECT e.extname, format('Add the line `trusted = true` to %s.control on the server, or"
        " DROP EXTENSION %I; where {database} does not need it.', e.extname, e.extname)"
        " FROM pg_extension e JOIN pg_available_extension_versions v"
        " ON v.name = e.extname AND v.version = e.extversion"
        " WHERE v.superuser AND NOT v.trusted AND e.oid >= 16384"
        " AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)",
    ),
    Obstacle(
        "Role {role} may not give a copy of {database} the settings {names}.",
        "the database that a rollback swaps in must have the settings of production",
        "SELECT e.name, format('GRANT SET ON PARAMETER %s TO {role};', e.name)"
        " FROM (SELECT DISTINCT split_part(entry, '=', 1) AS name FROM pg_db_role_setting s"
        "       JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) entry"
        "       WHERE d.datname = current_database()) e"
        " LEFT JOIN pg_settings p ON lower(p.name) = lower(e.name)"
        " WHERE (p.name IS NULL OR p.context IN ('superuser', 'superuser-backend'))"
        " AND NOT has_parameter_privilege(e.name, 'SET')",
    ),
    Obstacle(
        "Role {role} may not give a copy of {database} the settings of roles {names}.",
        "`ALTER ROLE … IN DATABASE` settings must hold in the database that a rollback swaps in",
        "SELECT r.rolname, format('GRANT %I TO {role} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;',"
        " r.rolname) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
        " JOIN pg_roles r ON r.oid = s.setrole WHERE d.datname = current_database()"
        " AND r.rolname <> current_user AND current_setting('server_version_num')::int >= 160000"
        " AND NOT pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')",
        after_rights=True,
    ),
    Obstacle(
        "Replication slots that nobody reads keep WAL: {names}.",
        "the proof of a backup writes as much WAL as the database is large: they keep all of it",
        "SELECT format('%s (%s)', slot_name, pg_size_pretty(kept)),"
        " format('SELECT pg_drop_replication_slot(%L);', slot_name)"
        " FROM (SELECT slot_name, CASE WHEN pg_is_in_recovery() THEN 0"
        "       ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) END AS kept"
        "       FROM pg_replication_slots WHERE NOT active AND restart_lsn IS NOT NULL) s"
        " WHERE kept > 67108864",  # what is younger keeps nothing worth a word
        blocks=False,
    ),
    Obstacle(
        "WAL takes {names}.",
        "the proof of a backup adds as much as the database is large: the disk may run full",
        "SELECT format('%s, max_wal_size is %s', pg_size_pretty(w.size),"
        " current_setting('max_wal_size')),"
        " 'See what keeps it: SELECT * FROM pg_replication_slots; SELECT * FROM pg_stat_archiver;'"
        " FROM (SELECT sum(size) AS size FROM pg_ls_waldir()) w"
        " WHERE w.size > 2 * pg_size_bytes(current_setting('max_wal_size'))",
        blocks=False,
        needs_monitor=True,
    ),
    Obstacle(
        "WAL is not archived: {names}.",
        "it stays on the server's disk until it is",
        "SELECT format('%s failed %s', last_failed_wal, last_failed_time::timestamp(0)),"
        " 'Repair archive_command: the server''s log says why it fails.' FROM pg_stat_archiver"
        " WHERE last_failed_time > coalesce(last_archived_time, '-infinity')",
        blocks=False,
    ),
    Obstacle(
        "The restored copy of {database} cannot follow it: wal_level is {names}.",
        "a rollback of the database would lose what was written since the backup",
        "SELECT setting, 'ALTER SYSTEM SET wal_level = logical; then restart the server.'"
        " FROM pg_settings WHERE name = 'wal_level' AND setting <> 'logical'",
        blocks=False,
    ),
    Obstacle(
        "The restored copy of {database} cannot follow it: {names} replication slots are taken.",
        "a rollback of the database would lose what was written since the backup",
        "SELECT format('%s of %s', taken, given), format('ALTER SYSTEM SET max_replication_slots"
        " = %s; then restart the server; or drop slots nobody needs.', given::int + 4)"
        " FROM (SELECT (SELECT count(*) FROM pg_replication_slots) AS taken,"
        " current_setting('max_replication_slots')::int AS given) s WHERE taken >= given",
        blocks=False,
    ),
    Obstacle(
        "Rows of {names} cannot follow into the restored copy.",
        "nothing tells them apart; after a rollback of the database what was written to these "
        "tables since is only in the database that is kept",
        "SELECT c.oid::regclass::text, format('ALTER TABLE %s REPLICA IDENTITY FULL; or give it a"
        " primary key, which costs less.', c.oid::regclass)"
        f" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OF_USERS}"
        " AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition"
        " AND c.relreplident <> 'f' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid"
        " AND i.indisvalid AND CASE c.relreplident WHEN 'd' THEN i.indisprimary"
        " ELSE i.indisreplident END) AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'e'"
        " AND d.classid = 'pg_class'::regclass AND d.objid = c.oid)",
        blocks=False,
    ),
    Obstacle(
        "Nothing limits the WAL that a replication slot keeps ({names}).",
        "while the restored copy cannot follow, its slot would fill the server's disk",
        "SELECT 'max_slot_wal_keep_size is -1',"
        " 'ALTER SYSTEM SET max_slot_wal_keep_size = ''50GB''; SELECT pg_reload_conf();'"
        " FROM pg_settings WHERE name = 'max_slot_wal_keep_size' AND setting = '-1'",
        blocks=False,
    ),
    Obstacle(
        "Others read changes of {database} through replication slots: {names}.",
        "after a rollback of the database these slots belong to the database that is kept",
        "SELECT slot_name, format('SELECT pg_drop_replication_slot(%L); or know how its reader"
        " begins anew: a slot does not move to another database.', slot_name)"
        " FROM pg_replication_slots WHERE database = current_database()"
        " AND NOT starts_with(slot_name, 'slipway_')",
        blocks=False,
    ),
    Obstacle(
        "slipway's schema in {database} belongs to another role: {names}.",
        "fences could not be written",
        "SELECT pg_get_userbyid(nspowner),"
        " 'GRANT USAGE, CREATE ON SCHEMA slipway TO {role}; GRANT SELECT, INSERT, UPDATE, DELETE ON"
        " ALL TABLES IN SCHEMA slipway TO {role};' FROM pg_namespace WHERE nspname = 'slipway'"
        " AND NOT (has_schema_privilege(oid, 'USAGE') AND NOT EXISTS ("
        "SELECT FROM pg_class c WHERE c.relnamespace = pg_namespace.oid AND c.relkind = 'r'"
        " AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')"
        " AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))))",
        login=Login.CONTROL,
        after_rights=True,
        copies=True,
    ),
)


def _there(text: str) -> str:
    """A text about production's server, as it is said of the copies' server."""
    for one in ("database.url and database.admin_url", "database.url"):
        text = text.replace(one, Login.RESTORE.value)
    return text


RESTORE_OBSTACLES = tuple(
    replace(one, login=Login.RESTORE, what=_there(one.what), query=_there(one.query))
    for one in OBSTACLES
    if one.copies
)
"""What can stand in the way on the server that the plan keeps its copies on."""
