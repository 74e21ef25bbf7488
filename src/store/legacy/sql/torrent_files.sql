CREATE TABLE IF NOT EXISTS `torrent_files` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `torrent_hash` varchar(40) NOT NULL,
  `file_index` int(11) NOT NULL,
  `file_path` varchar(1000) NOT NULL,
  `file_size` bigint(20) NOT NULL,
  `file_hash` varchar(40) DEFAULT NULL,
  `created_at` timestamp NULL DEFAULT current_timestamp(),
  PRIMARY KEY (`id`),
  UNIQUE KEY `unique_file` (`torrent_hash`,`file_index`),
  KEY `idx_torrent_hash` (`torrent_hash`),
  KEY `idx_file_path` (`file_path`(100)),
  KEY `idx_file_size` (`file_size`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
