"""How values are written as text: the same in every session of slipway's, whatever defaults a
database carries, or two fingerprints of the same rows would differ and a value that is copied would
change on the way."""

TEXT_FORM = {
    "search_path": "pg_catalog",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmlbinary": "base64",
}
