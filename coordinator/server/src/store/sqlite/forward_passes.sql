-- Format 2: how often each step of an attempt ran the transformer's blocks.

ALTER TABLE attempt ADD COLUMN forward_passes TEXT;
