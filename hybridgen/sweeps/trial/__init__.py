"""One trial: trained, or found trained already, and evaluated."""
