"""What a sweep or an ablation asks for, and what it would train."""
