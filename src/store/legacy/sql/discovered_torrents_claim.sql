CREATE TABLE IF NOT EXISTS `discovered_torrents_claim` (
  `id` bigint(20) NOT NULL,
  `holder` varchar(64) NOT NULL,
  `expires_at` timestamp NULL DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `idx_holder` (`holder`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
