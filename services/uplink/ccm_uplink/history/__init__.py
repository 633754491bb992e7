"""The history database: schema, migrations, writing and asking. The only package that imports SQLAlchemy."""
