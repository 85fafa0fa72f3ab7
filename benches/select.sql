-- A page of a listing: twenty rows with a join, where `pgbench -S` reads one row by its key.
\set aid random(1, 100000 * :scale)
SELECT a.aid, a.abalance, a.filler, b.bbalance
FROM pgbench_accounts AS a JOIN pgbench_branches AS b USING (bid)
WHERE a.aid >= :aid ORDER BY a.aid LIMIT 20;
