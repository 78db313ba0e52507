/// Proto files in serialized form together with what they declare: what a server has to tell.
struct DescriptorSet: Sendable {
    let pool: DescriptorPool
    /// Each a google.protobuf.FileDescriptorProto, in the order of the pool's files: one comes after those that it imports.
    let serialized: [[UInt8]]

    /// The files that this program was generated from.
    static let embedded: DescriptorSet = {
        guard let set = try? DescriptorSet(GeneratedDescriptors.files.map(decoded)) else {
            preconditionFailure("the descriptors of our own proto files are sound")
        }
        return set
    }()

    /// - Throws: `Failure` for files that cannot be read.
    init(_ unordered: [[UInt8]]) throws {
        let files = try DescriptorPool(files: unordered).files
        let index = Dictionary(uniqueKeysWithValues: files.enumerated().map { ($1.name, $0) })
        var ordered: [[UInt8]] = []
        var seen: Set<Int> = []
        func add(_ file: Int) {
            guard seen.insert(file).inserted else { return }
            for name in files[file].imports { if let imported = index[name] { add(imported) } }
            ordered.append(unordered[file])
        }
        for file in files.indices { add(file) }
        serialized = ordered
        pool = try DescriptorPool(files: ordered)
    }

    /// With more files; of those with a name that is here already, ours stays.
    func adding(_ more: [[UInt8]]) throws -> DescriptorSet {
        let known = Set(pool.files.map(\.name))
        let new = zip(try DescriptorPool(files: more).files, more).filter { !known.contains($0.0.name) }
        return try DescriptorSet(serialized + new.map(\.1))
    }

    /// Names of a file and of all that it imports, directly or not; nothing for a file that is not here.
    func closure(of name: String) -> Set<String> {
        var pending = [name]
        var found: Set<String> = []
        while let next = pending.popLast() {
            guard let file = pool.files.first(where: { $0.name == next }), found.insert(next).inserted else { continue }
            pending += file.imports
        }
        return found
    }

    private static func decoded(_ literal: StaticString) -> [UInt8] {
        literal.withUTF8Buffer { text in
            guard let count = base64Capacity(text) else { preconditionFailure("generated base64 is well-formed") }
            return [UInt8](unsafeUninitializedCapacity: count) {
                guard let base = $0.baseAddress, decodeBase64(text, to: base) else {
                    preconditionFailure("generated base64 is well-formed")
                }
                $1 = count
            }
        }
    }
}
