"""The warm fallback: a copy of the database on the old schema that follows production."""
