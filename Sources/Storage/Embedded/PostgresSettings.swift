import Core

/// The configuration files of the embedded PostgreSQL. They are ours and not the cluster's, so that a start never edits the cluster.
struct PostgresSettings {
    var layout: EmbeddedLayout
    var identity: ServerIdentity

    var mainPath: String { "\(layout.configuration)/postgresql.conf" }
    var hostAccessPath: String { "\(layout.configuration)/pg_hba.conf" }
    var userMapPath: String { "\(layout.configuration)/pg_ident.conf" }

    /// Durability is never traded: fsync, synchronous commits, full pages and checksums stay on. Memory is: one machine, few connections.
    var main: String {
        """
        # Written by acp at every start; changes are lost. Lasting changes: ALTER SYSTEM.
        listen_addresses = ''
        port = \(EmbeddedLayout.port)
        unix_socket_directories = \(Self.quoted("\"" + layout.run.replacing("\"", with: "\"\"") + "\""))
        unix_socket_permissions = 0700
        cluster_name = 'acp'
        max_connections = 50

        fsync = on
        synchronous_commit = on
        full_page_writes = on

        shared_buffers = 32MB
        work_mem = 8MB
        maintenance_work_mem = 32MB
        effective_cache_size = 512MB
        random_page_cost = 1.1
        jit = off
        huge_pages = off

        # No replicas and no logical decoding: their processes and slots are memory for nothing, and bulk loads write less log.
        wal_level = minimal
        max_wal_senders = 0
        max_replication_slots = 0
        max_logical_replication_workers = 0
        min_wal_size = 64MB
        max_wal_size = 512MB
        checkpoint_timeout = 15min
        max_worker_processes = 2
        max_parallel_workers = 2
        max_parallel_workers_per_gather = 1
        max_parallel_maintenance_workers = 1
        autovacuum = on
        autovacuum_max_workers = 1

        # Details, statements and parameters may carry document text, which never belongs in a log.
        log_destination = 'stderr'
        logging_collector = off
        log_line_prefix = '%m [%p] '
        log_error_verbosity = terse
        log_min_error_statement = panic
        log_checkpoints = off
        log_timezone = 'UTC'
        timezone = 'UTC'
        datestyle = 'iso, ymd'
        lc_messages = 'C'
        default_text_search_config = 'pg_catalog.simple'

        """
    }

    /// Local sockets only, and the kernel says who connects: two locks on the door, this one and the directory's mode.
    var hostAccess: String {
        """
        # Written by acp at every start; changes are lost.
        local all all peer map=acp

        """
    }

    /// Ourselves, the server's user and root may become the owner of the database or the superuser.
    var userMap: String {
        let users = Set([identity.ownName, identity.name, "root"]).sorted()
        let lines = users.flatMap { user in
            PostgresDatabase.roles.map { "acp \"\(user.replacing("\"", with: "\"\""))\" \($0)\n" }
        }
        return "# Written by acp at every start; changes are lost.\n" + lines.joined()
    }

    func write() throws {
        let mode: UInt32 = identity.isAnotherUser ? 0o644 : 0o600
        try ServerFiles.write(mainPath, main, mode: mode)
        try ServerFiles.write(hostAccessPath, hostAccess, mode: mode)
        try ServerFiles.write(userMapPath, userMap, mode: mode)
    }

    /// A string literal of postgresql.conf.
    private static func quoted(_ text: String) -> String {
        "'" + text.replacing("\\", with: "\\\\").replacing("'", with: "''") + "'"
    }
}
