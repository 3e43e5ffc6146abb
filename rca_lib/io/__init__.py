"""File access and embedded tools without domain knowledge: DuckDB, YAML, file hashes, folder names, work folders."""
