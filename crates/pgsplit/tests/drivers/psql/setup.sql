\set QUIET on
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS psql CASCADE;
CREATE SCHEMA psql;
SET search_path = psql;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL DEFAULT 'x', price numeric(10,2) CHECK (price > 0), feels mood);
CREATE INDEX item_name ON item (lower(name)) WHERE price > 1;
CREATE TABLE part (id bigint GENERATED ALWAYS AS IDENTITY, item int REFERENCES item ON DELETE CASCADE, share percent);
CREATE VIEW cheap AS SELECT id, name FROM item WHERE price < 10;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * n';
CREATE FUNCTION noisy(n int) RETURNS int LANGUAGE plpgsql AS
    'BEGIN RAISE NOTICE ''called with %'', n; RETURN 10 / n; END';
CREATE SEQUENCE counter;
CREATE SEQUENCE countdown INCREMENT BY -1 START WITH 3 MINVALUE -10 MAXVALUE 3;
CREATE PROCEDURE commits(n int) LANGUAGE plpgsql AS
    'BEGIN FOR i IN 1..n LOOP INSERT INTO part (item) VALUES (i); COMMIT; END LOOP; END';
INSERT INTO item SELECT n, 'item ' || n, n * 1.25, 'happy' FROM generate_series(1, 50) n;
COMMENT ON TABLE item IS 'things';
RESET client_min_messages;
\set QUIET off
