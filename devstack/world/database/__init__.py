"""The TEEI databases: roles, schema by real migrations, generated data, one copy per environment."""
