-- Housekeeping looks every minute for inbox rows that are old enough to go; without this it would read all of them.
CREATE INDEX inbox_finished ON inbox (finished_at) WHERE state = 'done' OR state = 'discarded';
