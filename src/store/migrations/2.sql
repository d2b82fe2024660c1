-- Both are unknown of what was recorded before.
ALTER TABLE decision ADD COLUMN api TEXT;
ALTER TABLE outcome ADD COLUMN usage_estimated INTEGER;
