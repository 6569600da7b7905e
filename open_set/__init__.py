"""Open-set recognition: known defects are named, unknown ones noticed. Consumes Inspections and pooled features."""
