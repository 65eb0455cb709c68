"""One small module per server: its configuration, its command line, and when it is ready."""
