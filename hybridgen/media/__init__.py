"""How samples are stored, shown, written and read: the only place that knows a file format."""
