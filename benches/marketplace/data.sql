-- Data for the load test; `scale` times a thousand users. Loaded after the application's own migrations.
-- Ids are small numbers behind a letter, so that scripts can make them up: u1 to u200 (times scale) are contractors,
-- the other users customers, a1 to a5 administrators; p are projects, s sessions' token selectors.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET synchronous_commit = off;
BEGIN;

INSERT INTO "User" ("id", "email", "passwordHash", "name", "phone", "role", "createdAt", "updatedAt")
SELECT 'u' || n, 'user' || n || '@example.org', md5('password' || n), 'User ' || n, '09' || lpad(n::text, 8, '0'),
       CASE WHEN n <= 200 * :scale THEN 'CONTRACTOR' ELSE 'CUSTOMER' END::"Role",
       now() - n * interval '7 minutes', now()
FROM generate_series(1, 1000 * :scale) n
UNION ALL
SELECT 'a' || n, 'admin' || n || '@example.org', md5('admin' || n), 'Admin ' || n, NULL, 'ADMIN', now(), now()
FROM generate_series(1, 5) n;

INSERT INTO "Session" ("id", "userId", "tokenSelector", "tokenHash", "createdAt", "expiresAt")
SELECT 'session' || n, 'u' || 1 + n % (1000 * :scale), 's' || n, md5('token' || n), now() - n * interval '1 second',
       now() + interval '30 days'
FROM generate_series(1, 3000 * :scale) n;

INSERT INTO "TokenBlacklist" ("id", "tokenHash", "userId", "reason", "expiresAt")
SELECT 'revoked' || n, md5('revoked' || n), 'u' || 1 + n % (1000 * :scale), 'logout', now() + interval '1 day'
FROM generate_series(1, 500 * :scale) n;

-- Three levels: 5 regions of 10 provinces of 10 districts each.
INSERT INTO "Region" ("id", "name", "level", "parentId")
SELECT n, 'Region ' || n, 1, NULL FROM generate_series(1, 5) n
UNION ALL SELECT n, 'Province ' || n, 2, 1 + n % 5 FROM generate_series(6, 55) n
UNION ALL SELECT n, 'District ' || n, 3, 6 + n % 50 FROM generate_series(56, 555) n;

INSERT INTO "ServiceCategory" ("id", "name", "sortOrder", "isActive")
SELECT n, 'Category ' || n, n, n % 10 > 0 FROM generate_series(1, 40) n;

INSERT INTO "UnitPrice" ("id", "categoryId", "name", "unit", "price")
SELECT n, 1 + n % 40, 'Work ' || n, 'm2', 50000 + n * 125 FROM generate_series(1, 400) n;

INSERT INTO "Material" ("id", "name", "unit", "price")
SELECT n, 'Material ' || n, 'kg', 10000 + n * 75 FROM generate_series(1, 300) n;

INSERT INTO "BlogPost" ("id", "slug", "title", "body", "publishedAt")
SELECT n, 'post-' || n, 'Post ' || n, repeat('What a good tiler does. ', 40), now() - n * interval '1 day'
FROM generate_series(1, 200) n;

INSERT INTO "Project" ("id", "ownerId", "title", "description", "status", "regionId", "categoryId", "budget",
                       "publishedAt", "createdAt", "updatedAt")
SELECT 'p' || n, 'u' || 200 * :scale + 1 + n % (800 * :scale), 'Project ' || n, repeat('A kitchen to be tiled. ', 8),
       (ARRAY['OPEN', 'OPEN', 'OPEN', 'MATCHED', 'COMPLETED', 'DRAFT'])[1 + n % 6]::"ProjectStatus",
       56 + n % 500, 1 + n % 40, 1000000 + n * 1000, now() - n * interval '3 minutes', now() - n * interval '3 minutes',
       now()
FROM generate_series(1, 5000 * :scale) n;

INSERT INTO "Bid" ("id", "projectId", "contractorId", "price", "message", "status", "createdAt", "updatedAt")
SELECT 'b' || n, 'p' || 1 + n % (5000 * :scale), 'u' || 1 + (n / (5000 * :scale) * 61 + n) % (200 * :scale),
       900000 + n * 10, 'We can begin on Monday.',
       (ARRAY['PENDING', 'ACCEPTED', 'REJECTED'])[1 + n % 3]::"BidStatus", now() - n * interval '1 minute', now()
FROM generate_series(1, 15000 * :scale) n;

INSERT INTO "Review" ("id", "projectId", "contractorId", "authorId", "rating", "comment", "isDeleted", "createdAt")
SELECT 'r' || n, 'p' || 1 + n % (5000 * :scale), 'u' || 1 + n % (200 * :scale),
       'u' || 200 * :scale + 1 + n % (800 * :scale), 1 + n % 5, 'On time and clean.', n % 50 = 0,
       now() - n * interval '5 minutes'
FROM generate_series(1, 3000 * :scale) n;

INSERT INTO "ContractorRanking" ("contractorId", "totalScore", "rating", "reviewCount", "completedProjects",
                                 "isFeatured", "updatedAt")
SELECT 'u' || n, (n * 7919) % 1000 / 10.0, 1 + n % 40 / 10.0, n % 90, n % 50, n % 20 = 0, now()
FROM generate_series(1, 200 * :scale) n;

INSERT INTO "Notification" ("id", "userId", "type", "title", "isRead", "createdAt")
SELECT 'n' || n, 'u' || 1 + n % (1000 * :scale), 'NEW_BID', 'Notification ' || n, n % 3 > 0, now() - n * interval '30 seconds'
FROM generate_series(1, 20000 * :scale) n;

INSERT INTO "ScheduledNotification" ("id", "userId", "type", "title", "status", "scheduledFor")
SELECT 'j' || n, 'u' || 1 + n % (1000 * :scale), 'REMINDER', 'Reminder ' || n,
       CASE WHEN n % 4 = 0 THEN 'PENDING' ELSE 'SENT' END::"JobStatus", now() - n * interval '1 minute'
FROM generate_series(1, 2000 * :scale) n;

INSERT INTO "AuditLog" ("userId", "eventType", "ipAddress", "detail", "createdAt")
SELECT 'u' || 1 + n % (1000 * :scale), (ARRAY['LOGIN', 'LOGOUT', 'REFRESH', 'BID_CREATED'])[1 + n % 4], '127.0.0.1',
       '{"agent": "data.sql"}', now() - n * interval '20 seconds'
FROM generate_series(1, 20000 * :scale) n;

INSERT INTO "Message" ("id", "projectId", "senderId", "body", "createdAt")
SELECT 'm' || n, 'p' || 1 + n % (5000 * :scale), 'u' || 1 + n % (1000 * :scale), 'When could you come and look?',
       now() - n * interval '1 minute'
FROM generate_series(1, 10000 * :scale) n;

INSERT INTO "Escrow" ("id", "projectId", "amount", "createdAt", "updatedAt")
SELECT 'e' || n, 'p' || n, 500000, now(), now() FROM generate_series(1, 1000 * :scale) n;

INSERT INTO "FeeTransaction" ("id", "escrowId", "amount", "kind")
SELECT 'f' || n, 'e' || n, 25000, 'MATCH' FROM generate_series(1, 1000 * :scale) n;

INSERT INTO "Milestone" ("id", "projectId", "position", "title", "amount", "completedAt")
SELECT 'ms' || n, 'p' || 1 + n % (1000 * :scale), n / (1000 * :scale), 'Milestone ' || n, 250000,
       CASE WHEN n % 2 = 0 THEN now() END
FROM generate_series(0, 3000 * :scale - 1) n;

-- As if these rows had drawn their ids from the sequences.
SELECT setval(pg_get_serial_sequence(format('%I', "table"), 'id'), "last")
FROM (VALUES ('Region', 555), ('ServiceCategory', 40), ('UnitPrice', 400), ('Material', 300), ('BlogPost', 200))
     AS catalogue ("table", "last") \g /dev/null
COMMIT;

SET client_min_messages = error; -- of catalogs that only a superuser may analyze
ANALYZE;
