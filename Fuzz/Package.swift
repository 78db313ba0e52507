// swift-tools-version: 6.2
import PackageDescription

// A package of its own: it is built with coverage and AddressSanitizer by dev/fuzz, and by nobody else.
// Sources/ACPFuzz/Ends are the embedded ends of Tests/RPCTests.
let package = Package(
    name: "fuzz",
    dependencies: [
        .package(name: "analyst-copilot", path: ".."),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    ],
    targets: [
        .executableTarget(
            name: "ACPFuzz",
            dependencies: [
                .product(name: "RPC", package: "analyst-copilot"), .product(name: "Core", package: "analyst-copilot"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOEmbedded", package: "swift-nio"),
            ],
            swiftSettings: [
                .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("MemberImportVisibility"),
                .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
            ])
    ]
)
