#if canImport(Glibc)
    @preconcurrency internal import Glibc
#endif

/// The environment variables of this process.
public enum ProcessEnvironment {
    /// A copy of all variables. Entries that are not UTF-8 are repaired, entries without `=` are left out.
    public static var current: [String: String] {
        var variables: [String: String] = [:]
        var cursor = environ
        while let entry = cursor.pointee {
            let text = String(cString: entry)
            if let equals = text.firstIndex(of: "="), equals != text.startIndex {
                variables[String(text[..<equals])] = String(text[text.index(after: equals)...])
            }
            cursor += 1
        }
        return variables
    }
}
