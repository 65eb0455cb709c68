"""The TEEI databases: roles, migrated schema, generated data, a copy per environment."""
