//! Settings: annotated defaults, file, environment and flags become checked types, with every error at once. Imports `domain`.
