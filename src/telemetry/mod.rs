//! Logs and metrics. The only room that names a metric. Imports `domain`.
