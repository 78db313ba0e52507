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
        .library(name: "RPC", targets: ["RPC"]),
        .library(name: "Search", targets: ["Search"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
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
        system("CSeccomp", pkgConfig: "libseccomp", apt: "libseccomp-dev"),
        .target(name: "CACPProtos", dependencies: ["CProtobufC"], path: "Sources/C/CACPProtos"),
        // fork, exec as another user, descriptor passing: what Swift cannot express safely.
        .target(name: "CProcess", path: "Sources/C/CProcess"),
        // The sandbox of the parser process: Landlock, seccomp, rlimits.
        .target(name: "CSandbox", dependencies: ["CSeccomp"], path: "Sources/C/CSandbox"),

        module("Core", []),
        module("RPC", ["Core", "CACPProtos", "CProtobufC", http, log, metrics] + nio),
        module("Storage", ["Core", "CPQ", "CHiredis", "CZstd", "CProcess", crypto, log, metrics]),
        module("Search", ["Core", "CStemmer", "CZstd"]),
        .executableTarget(
            name: "Extract",
            dependencies: ["Core", "CACPProtos", "CProtobufC", "CSandbox", "CMd4c", "CGumbo", "CPoppler"],
            swiftSettings: strict),
        module("Ingest", ["Core", "RPC", "Storage", "Search", "CProcess", crypto, log, metrics]),
        module("Agents", ["Core", "RPC", "Storage", crypto, log, metrics]),
        module("Gateway", ["Core", "RPC", "Storage", http, log, metrics] + nio),
        module("Platform", ["Core", log, metrics]),
        module("CLI", ["Core", "RPC", "Platform", crypto, arguments]),
        .executableTarget(
            name: "acp",
            dependencies: [
                "Core", "RPC", "Storage", "Search", "Ingest", "Agents", "Gateway", "Platform", "CLI", arguments, log,
            ] + nio,
            swiftSettings: strict),
        // Reads protoc's descriptor set and writes the Swift of Sources/RPC/Generated; run by dev/generate-protos.
        .executableTarget(name: "Protogen", dependencies: ["CACPProtos", "CProtobufC"], swiftSettings: strict),
    ]
)
