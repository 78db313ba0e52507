// swift-tools-version: 6.2
import PackageDescription

// Every target of ours is built with these: warnings are errors, imports are internal and named, existentials are spelled out.
let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
]
let http: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let tls: [Target.Dependency] = [
    .product(name: "NIOSSL", package: "swift-nio-ssl"),
    .product(name: "NIOTLS", package: "swift-nio"),
]
let log: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

/// A module of ours: its folder in Sources has its name.
func module(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

/// A library of the system: a shim header and a module map in Sources/C.
func system(_ name: String, pkgConfig: String? = nil, apt: String) -> Target {
    .systemLibrary(name: name, path: "Sources/C/\(name)", pkgConfig: pkgConfig, providers: [.apt([apt])])
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

let package = Package(
    name: "analyst-copilot",
    products: [
        .executable(name: "acp", targets: ["acp"]),
        .executable(name: "acp-extract", targets: ["Extract"]),
        .library(name: "Core", targets: ["Core"]),
        .library(name: "Platform", targets: ["Platform"]),
        .library(name: "RPC", targets: ["RPC"]),
        .library(name: "Search", targets: ["Search"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    ],
    targets: [
        // Bottom up: a target may depend only on targets above it.
        system("CProtobufC", pkgConfig: "libprotobuf-c", apt: "libprotobuf-c-dev"),
        system("CPQ", pkgConfig: "libpq", apt: "libpq-dev"),
        // No pkgConfig: hiredis asks for a flag that SwiftPM prohibits.
        system("CHiredis", apt: "libhiredis-dev"),
        system("CZstd", pkgConfig: "libzstd", apt: "libzstd-dev"),
        system("CStemmer", apt: "libstemmer-dev"),
        system("CMd4c", pkgConfig: "md4c", apt: "libmd4c-dev"),
        system("CGumbo", pkgConfig: "gumbo", apt: "libgumbo-dev"),
        system("CPoppler", pkgConfig: "poppler-glib", apt: "libpoppler-glib-dev"),
        system("CUchardet", pkgConfig: "uchardet", apt: "libuchardet-dev"),
        system("CSeccomp", pkgConfig: "libseccomp", apt: "libseccomp-dev"),
        .target(name: "CACPProtos", dependencies: ["CProtobufC"], path: "Sources/C/CACPProtos"),
        // fork, exec as another user, descriptor passing: what Swift cannot express safely.
        .target(name: "CProcess", path: "Sources/C/CProcess"),
        // The sandbox of the parser process: Landlock, seccomp, rlimits.
        .target(name: "CSandbox", dependencies: ["CSeccomp"], path: "Sources/C/CSandbox"),

        module("Core", []),
        module("RPC", ["Core", "CACPProtos", "CProtobufC", "CZstd", http, log, metrics] + nio + tls),
        .target(
            name: "Storage",
            dependencies: ["Core", "CPQ", "CHiredis", "CZstd", "CProcess", crypto, log, metrics],
            resources: [.embedInCode("Migrations/0001_initial.sql")],
            swiftSettings: strict),
        module("Search", ["Core", "CStemmer", "CZstd"]),
        // The sandboxed parser process; nothing else links the parser libraries.
        .executableTarget(
            name: "Extract",
            dependencies: [
                "Core", "CACPProtos", "CProtobufC", "CProcess", "CSandbox", "CMd4c", "CGumbo", "CPoppler", "CUchardet",
            ],
            swiftSettings: strict),
        module(
            "Ingest",
            [
                "Core", "RPC", "Storage", "Search", "CProcess", .product(name: "NIOCore", package: "swift-nio"), log,
                metrics,
            ]),
        module("Agents", ["Core", "RPC", "Storage", "Search", log, metrics]),
        .target(
            name: "Gateway",
            dependencies: ["Core", "RPC", http, log, metrics] + nio,
            resources: [
                .embedInCode("Resources/index.html"), .embedInCode("Resources/app.js"),
                .embedInCode("Resources/app.css"), .embedInCode("Resources/openapi.json"),
            ],
            swiftSettings: strict),
        module("Platform", ["Core", log, metrics]),
        module("CLI", ["Core", "RPC", "Platform", crypto, arguments]),
        .executableTarget(
            name: "acp",
            dependencies: [
                "Core", "RPC", "Storage", "Search", "Ingest", "Agents", "Gateway", "Platform", "CLI", "CProcess",
                arguments, log, metrics,
            ] + nio,
            swiftSettings: strict),
        // Reads protoc's descriptor set and writes the Swift of Sources/RPC/Generated; run by dev/generate-protos.
        .executableTarget(name: "Protogen", dependencies: ["CACPProtos", "CProtobufC"], swiftSettings: strict),

        // Real PostgreSQL and Redis for tests.
        .target(name: "TestSupport", dependencies: ["Core", "Storage"], path: "Tests/Support", swiftSettings: strict),
        // Generated from the proto files of tests.
        .target(name: "CTestProtos", dependencies: ["CACPProtos", "CProtobufC"], path: "Tests/Protos/CTestProtos"),
        .target(
            name: "TestProtos", dependencies: ["Core", "RPC", "CTestProtos", "CProtobufC", nio[0]],
            path: "Tests/Protos/TestProtos", swiftSettings: strict),
        tests("StyleTests", []),
        tests("CoreTests", ["Core"]),
        .testTarget(
            name: "ProtogenTests", dependencies: ["Protogen"], exclude: ["Fixtures"], swiftSettings: strict),
        tests(
            "RPCTests",
            ["Core", "RPC", "TestProtos", log, .product(name: "NIOEmbedded", package: "swift-nio")] + nio + tls),
        tests("RPCJSONTests", ["Core", "RPC"] + nio),
        tests("ReflectionTests", ["Core", "RPC", "CACPProtos"] + nio),
        tests("StorageTests", ["Core", "Storage", "TestSupport"]),
        tests("EmbeddedTests", ["Core", "Storage", "CPQ"]),
        tests("SearchTests", ["Core", "Search"]),
        // Tries forbidden system calls inside the sandbox.
        .executableTarget(
            name: "SandboxProbe", dependencies: ["CSandbox"], path: "Tests/ExtractTests/SandboxProbe",
            swiftSettings: strict),
        .testTarget(
            name: "ExtractTests",
            dependencies: ["Core", "Ingest", "SandboxProbe", "Extract", log],
            exclude: ["SandboxProbe", "Fixtures"],
            swiftSettings: strict),
        tests("IngestTests", ["Core", "RPC", "Storage", "Search", "Ingest", "TestSupport", log]),
        tests("AgentsTests", ["Core", "RPC", "Storage", "Search", "Agents", "TestSupport", log, crypto]),
        tests("GatewayTests", ["Core", "RPC", "Gateway", http, log] + nio),
        tests("PlatformTests", ["Core", "Platform", log, metrics]),
        tests("CLITests", ["Core", "RPC", "Platform", "CLI", arguments] + nio),
        tests("EndToEndTests", ["Core", "CProcess", "TestSupport"]),
    ]
)
