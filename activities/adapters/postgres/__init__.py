"""PostgreSQL: backup and its proof, rehearsal, migrations, and the swap of databases."""
