/// What a principal may do. Roles are ordered: each includes the ones before it.
public enum Role: Int, Sendable, Hashable, CaseIterable, Comparable {
    /// Read: search, ask, look at documents and workflows.
    case viewer = 1
    /// Viewer, and add documents and run workflows.
    case analyst = 2
    /// Analyst, and manage keys, collections and the system.
    case admin = 3

    public static func < (lhs: Role, rhs: Role) -> Bool { lhs.rawValue < rhs.rawValue }

    /// The lower-case name stored in the database and shown to people.
    public var name: String {
        switch self {
        case .viewer: "viewer"
        case .analyst: "analyst"
        case .admin: "admin"
        }
    }

    /// The role called `name`, or nil.
    public init?(name: String) {
        guard let role = Role.allCases.first(where: { $0.name == name }) else { return nil }
        self = role
    }
}

/// Who makes a call, as proven by their credentials.
public struct Principal: Sendable, Hashable {
    public var id: UUIDv7
    public var name: String
    public var role: Role

    public init(id: UUIDv7, name: String, role: Role) {
        self.id = id
        self.name = name
        self.role = role
    }
}
