\copy item TO 'FILE' (FORMAT csv, HEADER)
CREATE TABLE copied (LIKE item);
\copy copied FROM 'FILE' (FORMAT csv, HEADER)
SELECT count(*), sum(price) FROM copied;
\copy (SELECT id FROM item WHERE id < 4 ORDER BY id) TO pstdout
\copy copied FROM pstdin
60	sixty	6	sad
61	sixty-one	7	happy
\.
SELECT * FROM copied WHERE id >= 60 ORDER BY id;
COPY copied TO STDOUT (FORMAT binary) \g /dev/null
COPY (SELECT id, name FROM copied WHERE id < 3 ORDER BY id) TO STDOUT;
\copy copied FROM stdin
70	seventy	8	sad
bad	line	9	sad
71	never	8	sad
\.
SELECT count(*) FROM copied WHERE id >= 70;
\copy missing FROM 'FILE'
\copy copied FROM '/nonexistent/file'
\copy (SELECT 10 / (25 - id) FROM item ORDER BY id) TO '/dev/null'
SELECT 'still here';
BEGIN;
\copy copied FROM stdin
80	eighty	8	sad
\.
ROLLBACK;
SELECT count(*) FROM copied WHERE id = 80;
