SELECT id, name FROM item ORDER BY id LIMIT 3;
SELEC 1;
SELECT *
FROM   item
WHERE  nme = 'x';
SELECT 'é漢', missing FROM item;
SELECT twice('x');
INSERT INTO item VALUES (1, 'x', 1);
INSERT INTO item VALUES (77, 'x', -1);
SELECT noisy(0);
SELECT noisy(5);
\errverbose
\set VERBOSITY verbose
SELECT missing;
SELECT noisy(0);
\set VERBOSITY terse
SELECT missing;
\set VERBOSITY default
\set SHOW_CONTEXT always
SELECT noisy(2);
SELECT id, name, price FROM item \gdesc
SELECT id, missing FROM item \gdesc
INSERT INTO part (item) VALUES (1) RETURNING id, item \gdesc
SELECT 1 AS one, 'two' AS two \gset
\echo :one :two
SELECT 'SELECT ' || n FROM generate_series(1, 3) n \gexec
SELECT id % 3 AS a, id % 2 AS b, count(*) FROM item GROUP BY 1, 2 \crosstabview
\x on
SELECT * FROM item WHERE id = 7;
\x off
\pset null (null)
SELECT NULL;
BEGIN;
INSERT INTO part (item) VALUES (2);
SAVEPOINT s;
SELECT 1/0;
SELECT 1;
ROLLBACK TO s;
SELECT count(*) FROM part;
COMMIT;
SELECT count(*) FROM part;
\set ON_ERROR_ROLLBACK on
BEGIN;
SELECT 1/0;
SELECT 'goes on';
COMMIT;
\set ON_ERROR_ROLLBACK off
\set AUTOCOMMIT off
INSERT INTO part (item) VALUES (3);
ROLLBACK;
SELECT count(*) FROM part;
COMMIT;
\set AUTOCOMMIT on
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SHOW transaction_isolation;
INSERT INTO part (item) VALUES (4);
COMMIT;
SELECT 1\; SELECT 2\; SELECT 3;
BEGIN\; INSERT INTO part (item) VALUES (5)\; COMMIT;
SELECT count(*) FROM part WHERE item = 5;
CALL commits(3);
SELECT count(*) FROM part WHERE item <= 3;
DO $$ BEGIN RAISE WARNING 'careful'; END $$;
\set FETCH_COUNT 10
SELECT id FROM item ORDER BY id;
SELECT 10 / (25 - id) FROM item ORDER BY id;
\unset FETCH_COUNT
PREPARE p (int) AS SELECT name FROM item WHERE id = $1;
EXECUTE p(9);
EXECUTE p('x');
DEALLOCATE p;
CREATE TEMP TABLE mine AS SELECT 1 AS a;
SELECT * FROM mine;
DROP TABLE mine;
\encoding LATIN1
SHOW client_encoding;
\encoding UTF8
SET TimeZone = 'Asia/Tokyo';
SELECT '2024-01-01 00:00+00'::timestamptz;
EXPLAIN (COSTS OFF) SELECT * FROM item WHERE id = 1;
SET default_transaction_read_only = on;
INSERT INTO part (item) VALUES (6);
DISCARD ALL;
SHOW search_path;
\c -
SELECT current_database(), current_user;
SELECT pg_is_in_recovery();
