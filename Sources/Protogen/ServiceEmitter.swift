/// Method tables, server protocols and clients.
struct ServiceEmitter {
    let types: TypeNames

    func files(_ file: ProtoFile) -> [OutputFile] {
        guard !file.services.isEmpty else { return [] }
        return OutputFile.split(
            stem: Outputs.swift + Names.fileStem(file) + ".service",
            header: [
                "// \(SourceWriter.banner) From \(file.name).",
                "internal import Core",
            ],
            pieces: file.services.flatMap { [methods($0), server($0), registration($0), client($0)] })
    }

    static func methodsType(_ service: Service) -> String { service.name + "Methods" }

    private func methods(_ service: Service) -> SourceWriter {
        var writer = SourceWriter()
        writer.line("/// Methods of `\(service.fullName)`.")
        writer.block("public enum \(Self.methodsType(service))") { writer in
            for method in service.methods {
                writer.append(descriptor(method, of: service))
                writer.line()
            }
            writer.list(
                "public static let all: [MethodDescriptor] = [",
                service.methods.map { Names.declared(Names.lowerCamel($0.name)) }, "]")
        }
        return writer
    }

    private func descriptor(_ method: Method, of service: Service) -> SourceWriter {
        var writer = SourceWriter()
        let access =
            switch Method.Access(rawValue: method.policy?.access ?? 0) {
            case .open: ".open"
            case .viewer: ".role(.viewer)"
            case .analyst: ".role(.analyst)"
            case .admin: ".role(.admin)"
            case .denied, nil: ".denied"
            }
        writer.line("public static let \(Names.declared(Names.lowerCamel(method.name))) = MethodDescriptor(")
        writer.indented { writer in
            writer.line("path: \"/\(service.fullName)/\(method.name)\",")
            writer.line("service: \"\(service.fullName)\", name: \"\(method.name)\",")
            writer.line("requestType: \"\(method.input)\", responseType: \"\(method.output)\",")
            writer.line("clientStreaming: \(method.clientStreaming), serverStreaming: \(method.serverStreaming),")
            writer.line("access: \(access), idempotent: \(method.policy?.idempotent ?? false),")
            writer.line(
                "uploadStartField: \"\(method.policy?.uploadStartField ?? "")\","
                    + " uploadDataField: \"\(method.policy?.uploadDataField ?? "")\",")
            let rules = method.httpRules.map {
                ".init(verb: \"\($0.verb)\", template: \"\($0.template)\", body: \"\($0.body)\","
                    + " responseBody: \"\($0.responseBody)\")"
            }
            writer.list("httpRules: [", rules, "])")
        }
        return writer
    }

    private func server(_ service: Service) -> SourceWriter {
        var writer = SourceWriter()
        writer.documentation(service.origin.comment)
        writer.block("public protocol \(service.name)Service: Sendable") { writer in
            for (index, method) in service.methods.enumerated() {
                if index > 0 { writer.line() }
                writer.documentation(method.origin.comment)
                let request = types.swiftName(method.input)
                let response = types.swiftName(method.output)
                var parameters = [
                    method.clientStreaming ? "_ requests: RequestReader<\(request)>" : "_ request: \(request)"
                ]
                if method.serverStreaming { parameters.append("_ responses: ResponseWriter<\(response)>") }
                parameters.append("_ context: ServerContext")
                writer.list(
                    "func \(Names.declared(Names.lowerCamel(method.name)))(", parameters,
                    ") async throws" + (method.serverStreaming ? "" : " -> \(response)"))
            }
        }
        return writer
    }

    private func registration(_ service: Service) -> SourceWriter {
        var writer = SourceWriter()
        writer.block("extension \(service.name)Service") { writer in
            writer.line("/// Makes `router` answer the methods of this service.")
            writer.block("public func register(in router: inout ServiceRouter)") { writer in
                for method in service.methods {
                    let name = Names.lowerCamel(method.name)
                    let call = "try await self.\(name)"
                    let (kind, arguments) =
                        switch (method.clientStreaming, method.serverStreaming) {
                        case (false, false): ("unary", "$0, $1")
                        case (false, true): ("serverStreaming", "$0, $1, $2")
                        case (true, false): ("clientStreaming", "$0, $1")
                        case (true, true): ("bidirectional", "$0, $1, $2")
                        }
                    writer.line("router.\(kind)(\(Self.methodsType(service)).\(name)) { \(call)(\(arguments)) }")
                }
            }
        }
        return writer
    }

    private func client(_ service: Service) -> SourceWriter {
        var writer = SourceWriter()
        writer.line("/// Calls of `\(service.fullName)`.")
        writer.block("public struct \(service.name)Client: Sendable") { writer in
            writer.line("public let client: RPCClient")
            writer.line()
            writer.line("public init(_ client: RPCClient) { self.client = client }")
            for method in service.methods {
                writer.line()
                writer.documentation(method.origin.comment)
                writer.append(clientCall(method, of: service))
            }
        }
        return writer
    }

    private func clientCall(_ method: Method, of service: Service) -> SourceWriter {
        var writer = SourceWriter()
        let name = Names.lowerCamel(method.name)
        let descriptor = "\(Self.methodsType(service)).\(name)"
        let request = types.swiftName(method.input)
        let response = types.swiftName(method.output)
        let options = "options: CallOptions = CallOptions()"
        let head = "public func \(Names.declared(name))"
        switch (method.clientStreaming, method.serverStreaming) {
        case (false, false):
            writer.list(head + "(", ["_ request: \(request)", options], ") async throws -> \(response) {")
            writer.indented { $0.line("try await client.unary(\(descriptor), request, options: options)") }
        case (false, true):
            writer.list(
                head + "(", ["_ request: \(request)", options], ") async throws -> ResponseReader<\(response)> {")
            writer.indented { $0.line("try await client.serverStreaming(\(descriptor), request, options: options)") }
        case (true, false):
            writer.list(
                head + "(", [options, "_ produce: (RequestWriter<\(request)>) async throws -> Void"],
                ") async throws -> \(response) {")
            writer.indented { $0.line("try await client.clientStreaming(\(descriptor), options: options, produce)") }
        case (true, true):
            writer.list(
                head + "<Result>(",
                [options, "_ body: (RequestWriter<\(request)>, ResponseReader<\(response)>) async throws -> Result"],
                ") async throws -> Result {")
            writer.indented { $0.line("try await client.bidirectional(\(descriptor), options: options, body)") }
        }
        writer.line("}")
        return writer
    }
}
