//! Exception summary: three sentences of which each rests on facts.
