"""The store: schema, migrations, one writer, queries. Open it with `connect.open_store`."""
