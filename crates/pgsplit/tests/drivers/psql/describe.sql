\d
\d+
\d item
\d+ item
\d part
\d+ cheap
\d item_name
\d counter
\d missing
\dt
\dt+ psql.*
\di
\dv
\ds
\dn psql
\df
\df+ twice
\df pg_catalog.abs
\sf noisy
\sv cheap
\l
\l+ template0
\du
\dT
\dD
\dp
\dx
\dconfig work_mem
\dd
\do pg_catalog.@@
\dS pg_am
SET search_path = public;
\d
\d psql.item
