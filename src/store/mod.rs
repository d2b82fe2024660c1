//! What is remembered: decisions, outcomes and feedback in SQLite, and their export. Imports `domain`.
