/// Refuses what cannot be generated or must not be published, naming the place in the proto file.
struct Validation {
    let schema: Schema
    let types: TypeNames

    func check() throws {
        let faults =
            schema.files.flatMap { fileFaults($0) } + schema.messages.flatMap { messageFaults($0) }
            + schema.enums.flatMap { enumFaults($0) } + recursionFaults() + nameFaults()
            + schema.services.flatMap { service in service.methods.flatMap { methodFaults($0) } } + routeFaults()
        guard faults.isEmpty else {
            throw Diagnostics(
                all: faults.sorted { ($0.origin.file, $0.origin.line) < ($1.origin.file, $1.origin.line) })
        }
    }

    private func fault(_ origin: Origin, _ message: String) -> Diagnostic {
        Diagnostic(origin: origin, message: message)
    }

    private func fileFaults(_ file: ProtoFile) -> [Diagnostic] {
        file.syntax == "proto3"
            ? [] : [fault(Origin(file: file.name, line: 1), "write `syntax = \"proto3\";`: nothing else is supported")]
    }

    // MARK: Messages

    private func messageFaults(_ message: Message) -> [Diagnostic] {
        if message.isMapEntry { return [] }
        var faults: [Diagnostic] = []
        for field in message.fields {
            let name = "\(message.fullName).\(field.name)"
            // protoc has no lines for what it makes of a map.
            faults += typeFaults(types.mapEntry(field)?.fields[1].kind ?? field.kind, name, field.origin)
            if field.isProto3Optional {
                faults.append(
                    fault(field.origin, "\(name) is `optional`, which protoc-c refuses: use a oneof with one member"))
            }
            if ["base", "descriptor"].contains(Names.cField(field.name)) {
                faults.append(fault(field.origin, "\(name) clashes with a member that protoc-c adds"))
            }
            faults += memberFaults(Names.lowerCamel(field.name), name, field.origin)
        }
        let members = types.members(message).map(\.name)
        for member in Set(members) where members.filter({ $0 == member }).count > 1 {
            faults.append(fault(message.origin, "two fields of \(message.fullName) become `\(member)` in Swift"))
        }
        return faults
    }

    private func typeFaults(_ kind: Field.Kind, _ name: String, _ origin: Origin) -> [Diagnostic] {
        switch kind {
        case .unsupported(let what): [fault(origin, "\(name) is a \(what), which is not supported")]
        case .message(let type) where types.message(type) == nil:
            [fault(origin, "\(name) has the type \(type), which is not among the files")]
        case .message(let type) where !isOurs(type):
            [fault(origin, "\(name) has the type \(type), for which no Swift is generated")]
        default: []
        }
    }

    private func isOurs(_ type: String) -> Bool { schema.messages.contains { $0.fullName == type } }

    private func memberFaults(_ member: String, _ name: String, _ origin: Origin) -> [Diagnostic] {
        [
            "init", "self", "Self", "Type", "hashValue", "typeName", "encode", "decode", "fill", "pack", "unpack",
            "encoded",
        ]
        .contains(member) ? [fault(origin, "\(name) clashes with a member that generated types have")] : []
    }

    /// Messages that contain themselves: a value type cannot, and deep nesting would overflow the stack of protobuf-c.
    private func recursionFaults() -> [Diagnostic] {
        schema.messages.compactMap { message in
            var pending = [message]
            var seen: Set<String> = []
            while let next = pending.popLast() {
                for case .message(let type) in next.fields.map(\.kind) where seen.insert(type).inserted {
                    if type == message.fullName {
                        return fault(
                            message.origin, "\(message.fullName) contains itself: recursive messages are not supported")
                    }
                    if let found = types.message(type) { pending.append(found) }
                }
            }
            return nil
        }
    }

    private func enumFaults(_ enumeration: Enumeration) -> [Diagnostic] {
        var faults: [Diagnostic] = []
        var seenNames: Set<String> = [
            "unrecognized", "default", "rawValue", "protoName", "knownCases", "hash", "init", "self",
        ]
        for value in enumeration.distinctValues {
            let name = Names.enumCase(value.name, of: enumeration.name)
            if !seenNames.insert(name).inserted {
                faults.append(
                    fault(
                        value.origin,
                        "\(value.name) becomes `\(name)` in Swift, which \(enumeration.fullName) already has"))
            }
        }
        return faults
    }

    // MARK: Names

    private func nameFaults() -> [Diagnostic] {
        var owners: [String: String] = [:]
        var faults: [Diagnostic] = []
        func claim(_ name: String, for owner: String, _ origin: Origin) {
            if ReservedNames.all.contains(name) {
                faults.append(fault(origin, "\(owner) becomes `\(name)` in Swift, which means something else there"))
            } else if let other = owners[name] {
                faults.append(fault(origin, "\(owner) becomes `\(name)` in Swift, as \(other) does"))
            } else {
                owners[name] = owner
            }
        }
        for message in schema.messages where !message.isMapEntry {
            let name = types.swiftName(message.fullName)
            claim(name, for: message.fullName, message.origin)
            for oneof in message.oneofs {
                claim(name + "." + Names.upperCamel(oneof.name), for: "\(message.fullName).\(oneof.name)", oneof.origin)
            }
        }
        for enumeration in schema.enums {
            claim(types.swiftName(enumeration.fullName), for: enumeration.fullName, enumeration.origin)
        }
        for service in schema.services {
            for suffix in ["Methods", "Service", "Client"] {
                claim(service.name + suffix, for: service.fullName, service.origin)
            }
            let methods = service.methods.map { Names.lowerCamel($0.name) }
            for (index, method) in service.methods.enumerated()
            where methods[..<index].contains(methods[index])
                || ["all", "register", "client", "init", "self"].contains(methods[index])
            {
                faults.append(
                    fault(
                        method.origin, "\(service.fullName).\(method.name) becomes `\(methods[index])`, which is taken")
                )
            }
        }
        return faults
    }

    // MARK: Methods

    private func methodFaults(_ method: Method) -> [Diagnostic] {
        var faults: [Diagnostic] = []
        if let policy = method.policy {
            if Method.Access(rawValue: policy.access) ?? .denied == .denied {
                faults.append(
                    fault(method.origin, "\(method.name) has no access in its (acp.v1.policy): say who may call it"))
            }
            faults += uploadFaults(method, policy)
        } else {
            faults.append(fault(method.origin, "\(method.name) has no option (acp.v1.policy): say who may call it"))
        }
        for rule in method.httpRules { faults += ruleFaults(method, rule) }
        return faults
    }

    private func uploadFaults(_ method: Method, _ policy: Method.Policy) -> [Diagnostic] {
        let names = [policy.uploadStartField, policy.uploadDataField]
        if names == ["", ""] { return [] }
        guard method.clientStreaming, let request = types.message(method.input) else {
            return [fault(method.origin, "\(method.name) names upload fields but is not client streaming")]
        }
        let start = request.fields.first { $0.name == policy.uploadStartField }
        let data = request.fields.first { $0.name == policy.uploadDataField }
        if case .message = start?.kind, data?.kind == .bytes { return [] }
        return [
            fault(
                method.origin,
                "\(method.name): upload_start_field must name a message field of \(method.input), upload_data_field a bytes field"
            )
        ]
    }

    private func ruleFaults(_ method: Method, _ rule: Method.HTTPRule) -> [Diagnostic] {
        var faults: [Diagnostic] = []
        guard let template = PathTemplate(rule.template) else {
            return [
                fault(
                    method.origin,
                    "\(method.name): the path `\(rule.template)` is not a template such as /v1/jobs/{id}:watch")
            ]
        }
        for variable in template.variables {
            let path = variable.split(separator: ".").map(String.init)
            guard let field = FieldPath.find(path, in: method.input, types) else {
                faults.append(fault(method.origin, "\(method.name): `{\(variable)}` names no field of \(method.input)"))
                continue
            }
            if field.isRepeated || field.isMessage {
                faults.append(fault(method.origin, "\(method.name): `{\(variable)}` is not a single value"))
            }
        }
        if !rule.body.isEmpty, rule.body != "*", FieldPath.find([rule.body], in: method.input, types) == nil {
            faults.append(fault(method.origin, "\(method.name): body `\(rule.body)` names no field of \(method.input)"))
        }
        if !rule.responseBody.isEmpty, FieldPath.find([rule.responseBody], in: method.output, types) == nil {
            faults.append(
                fault(
                    method.origin,
                    "\(method.name): response_body `\(rule.responseBody)` names no field of \(method.output)"))
        }
        if ["GET", "DELETE"].contains(rule.verb), !rule.body.isEmpty {
            faults.append(fault(method.origin, "\(method.name): \(rule.verb) takes no body"))
        }
        return faults
    }

    /// Two methods on the same verb and path, whatever their variables are called.
    private func routeFaults() -> [Diagnostic] {
        var owners: [String: String] = [:]
        var faults: [Diagnostic] = []
        for service in schema.services {
            for method in service.methods {
                for rule in method.httpRules {
                    guard let template = PathTemplate(rule.template) else { continue }
                    let name = "\(service.fullName).\(method.name)"
                    if let other = owners.updateValue(name, forKey: rule.verb + " " + template.shape) {
                        faults.append(
                            fault(method.origin, "\(name) has the route \(rule.verb) \(rule.template) of \(other)"))
                    }
                }
            }
        }
        return faults
    }
}
