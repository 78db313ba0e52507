internal import Core
internal import RPC

/// One HTTP binding of one method.
struct Route: Sendable {
    let method: MethodDescriptor
    let rule: MethodDescriptor.HTTPRule
    let template: PathTemplate

    var isUpload: Bool { method.clientStreaming && !method.uploadStartField.isEmpty }
}

/// Every binding of every method, found by verb and path. Built from the generated catalogue alone.
struct RouteTable: Sendable {
    enum Outcome {
        case found(Route, variables: [MessageBindings.Parameter])
        /// The path exists for these verbs only.
        case otherVerbs([String])
        case unknown
    }

    let routes: [Route]
    /// Indices of routes by number of segments; open-ended ones are in every row they can match.
    private let bySegments: [[Int]]
    static let segmentsMax = 32

    /// - Throws: `Failure` INTERNAL for a template that is malformed or a method that HTTP cannot carry.
    init(_ methods: [MethodDescriptor]) throws {
        var routes: [Route] = []
        for method in methods {
            for rule in method.httpRules {
                routes.append(Route(method: method, rule: rule, template: try PathTemplate(rule.template)))
            }
        }
        routes.sort { $0.template.isMoreSpecific(than: $1.template) }
        var rows: [[Int]] = Array(repeating: [], count: Self.segmentsMax + 1)
        for (index, route) in routes.enumerated() {
            let count = route.template.segments.count
            let range = route.template.isOpenEnded ? (count - 1)...Self.segmentsMax : count...count
            for row in range where row <= Self.segmentsMax { rows[row].append(index) }
        }
        self.routes = routes
        bySegments = rows
    }

    /// - Throws: `HTTPRefusal` for a path variable that is not proper UTF-8 text.
    func find(_ verb: String, _ path: [Substring]) throws -> Outcome {
        guard path.count <= Self.segmentsMax else { return .unknown }
        var others: [String] = []
        for index in bySegments[path.count] {
            let route = routes[index]
            guard let values = route.template.match(path) else { continue }
            // HEAD is GET without its body.
            guard route.rule.verb == verb || (verb == "HEAD" && route.rule.verb == "GET") else {
                others.append(route.rule.verb)
                continue
            }
            let variables = try zip(route.template.variables, values).map { variable, segments in
                MessageBindings.Parameter(
                    variable.field,
                    try segments.map { try RequestTarget.decode($0, plusIsSpace: false) }.joined(separator: "/"))
            }
            return .found(route, variables: variables)
        }
        return others.isEmpty ? .unknown : .otherVerbs(others)
    }
}
