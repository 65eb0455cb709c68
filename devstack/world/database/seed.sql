-- Generated data: the same rows in every run, made on the server. Run as teei_owner.
-- The words after colons are replaced by numbers of rows; production is 1 or 0.
GRANT USAGE ON SCHEMA public TO teei_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO teei_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO teei_app;
ALTER DEFAULT PRIVILEGES FOR ROLE teei_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO teei_app;
ALTER DEFAULT PRIVILEGES FOR ROLE teei_owner IN SCHEMA public
  GRANT USAGE, SELECT ON SEQUENCES TO teei_app;

INSERT INTO organisations (name, country, settings, created_at)
SELECT CASE n WHEN 1 THEN 'Nordlys Foundation' ELSE 'Organisation ' || n END,
       (ARRAY['NO', 'SE', 'DK', 'FI', 'DE', 'PL', 'UA'])[1 + n % 7],
       jsonb_build_object('seats', n % 500, 'locale', 'nb-NO', 'features', jsonb_build_array('q2q', 'buddy')),
       timestamptz '2024-01-01' + n * interval '3 hours'
FROM generate_series(1, 200) AS n;

INSERT INTO users (organisation_id, email, display_name, role, password_salt, password_hash, profile, created_at)
SELECT 1 + n % 200, 'user' || n || '@people.example', 'Person ' || n,
       (enum_range(NULL::user_role))[1 + n % 5],
       substr(md5('salt' || n), 1, 12),
       sha256(convert_to(substr(md5('salt' || n), 1, 12) || 'password' || n, 'UTF8')),
       jsonb_build_object('bio', repeat(md5('bio' || n) || ' ', 6), 'languages', jsonb_build_array('nb', 'uk', 'en')),
       timestamptz '2024-02-01' + n * interval '7 minutes'
FROM generate_series(1, :users) AS n;
-- The person that smoke flows log in as.
INSERT INTO users (organisation_id, email, display_name, role, password_salt, password_hash, created_at)
VALUES (1, 'smoke@teei.example', 'Smoke Test', 'staff', 'f00dcafe',
        sha256(convert_to('f00dcafe' || 'smoke-and-mirrors', 'UTF8')), '2024-02-01');
-- Two addresses that differ by case alone: legal today, refused by a unique index on lower(email).
INSERT INTO users (organisation_id, email, display_name, password_salt, password_hash, created_at)
SELECT 2, mail, 'Anna Berg', 'ab', sha256(convert_to('ab' || mail, 'UTF8')), timestamptz '2024-03-01'
FROM unnest(ARRAY['anna.berg@people.example', 'Anna.Berg@people.example']) AS mail
WHERE :production = 1;

INSERT INTO login_sessions (id, user_id, token_hash, created_at, expires_at)
SELECT md5('session' || n)::uuid, 1 + n % :users, sha256(convert_to('token' || n, 'UTF8')),
       timestamptz '2026-01-01' + n * interval '1 minute', timestamptz '2026-02-01' + n * interval '1 minute'
FROM generate_series(1, :sessions) AS n;

INSERT INTO ingestion_events (key, source, payload, received_at)
SELECT 'seed-' || n, (ARRAY['benevity', 'workday', 'goodera', 'csv'])[1 + n % 4],
       jsonb_build_object('hours', round((n % 800) / 100.0, 2), 'activity', md5('activity' || n),
                          'note', repeat(md5('note' || n), 4)),
       timestamptz '2025-06-01' + n * interval '2 minutes'
FROM generate_series(1, :events) AS n;

INSERT INTO reports (organisation_id, title, content, document, cost, created_at)
SELECT 1 + n % 200, 'Impact report ' || n,
       jsonb_build_object('sections', jsonb_build_array(md5('a' || n), md5('b' || n)), 'participants', n % 300),
       decode(repeat(md5('document' || n), 40), 'hex'), round((n % 100000) / 100.0, 2),
       timestamptz '2025-01-01' + n * interval '1 hour'
FROM generate_series(1, greatest(:users / 10, 50)) AS n;

INSERT INTO buddy_matches (participant_id, buddy_id, state, score, tags, created_at)
SELECT n, n + 1, (enum_range(NULL::match_state))[1 + n % 4], round((n % 10000) / 10000.0, 4),
       ARRAY['language', CASE WHEN n % 2 = 0 THEN 'work' ELSE 'sports' END],
       timestamptz '2025-03-01' + n * interval '30 minutes'
FROM generate_series(1, :users / 3) AS n;

INSERT INTO journeys (user_id, stage, milestones, started_on)
SELECT n, n % 6, jsonb_build_array(jsonb_build_object('name', 'arrived', 'done', true),
       jsonb_build_object('name', md5('milestone' || n), 'done', n % 2 = 0)), date '2025-01-01' + (n % 500)::int
FROM generate_series(1, :users / 2) AS n;

INSERT INTO q2q_messages (user_id, question, answer, confidence, created_at)
SELECT 1 + n % :users, 'How do I ' || md5('q' || n) || '?', repeat(md5('answer' || n) || ' ', 4),
       round((n % 1000) / 1000.0, 3), timestamptz '2025-05-01' + n * interval '11 minutes'
FROM generate_series(1, :users / 2) AS n;

INSERT INTO safety_flags (message_id, category, severity, resolved, created_at)
SELECT n * 10, (ARRAY['contact-data', 'harassment', 'self-harm'])[1 + n % 3], 1 + n % 5, n % 3 > 0,
       timestamptz '2025-05-02' + n * interval '1 hour'
FROM generate_series(1, :users / 30) AS n;

INSERT INTO impact_metrics (organisation_id, measured_on, dimension, value, sample)
SELECT o, d::date, k, round((hashint4(o * 31 + extract(doy FROM d)::int + ascii(k)) % 10000)::numeric / 7, 4), 1 + o % 40
FROM generate_series(1, 200) AS o,
     generate_series(timestamptz '2025-06-01 00:00+00', '2026-06-01 00:00+00', interval '10 days') AS d,
     unnest(ARRAY['belonging', 'job_readiness', 'language']) AS k;
REFRESH MATERIALIZED VIEW organisation_impact;
ANALYZE;
