/// A `google.api.http` path: `/v1/jobs/{id}:watch`. Variables stand for one segment; patterns inside braces are not supported.
struct PathTemplate {
    /// Field paths in braces, in order.
    let variables: [String]
    /// The path with empty braces: equal for templates that match the same requests.
    let shape: String

    init?(_ text: String) {
        guard text.first == "/", text.count > 1 else { return nil }
        var variables: [String] = []
        var shape = ""
        var variable: String?
        for character in text {
            switch (character, variable) {
            case ("{", nil):
                guard shape.last == "/" else { return nil }
                variable = ""
            case ("}", .some(let name)):
                guard let first = name.first, first.isLetter else { return nil }
                variables.append(name)
                shape += "{}"
                variable = nil
            case (_, .some(let name)):
                guard character.isLetter || character.isNumber || character == "_" || character == "." else {
                    return nil
                }
                variable = name + String(character)
            case (_, nil):
                guard character.isASCII, !"}*?#\" \\".contains(character) else { return nil }
                shape.append(character)
            }
        }
        guard variable == nil else { return nil }
        self.variables = variables
        self.shape = shape
    }
}

/// A field by the names that lead to it.
enum FieldPath {
    static func find(_ path: [String], in messageName: String, _ types: TypeNames) -> Field? {
        guard let name = path.first, let message = types.message(messageName),
            let field = message.fields.first(where: { $0.name == name })
        else { return nil }
        if path.count == 1 { return field }
        guard case .message(let next) = field.kind, !field.isRepeated else { return nil }
        return find(Array(path.dropFirst()), in: next, types)
    }
}
