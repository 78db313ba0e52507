// swift-tools-version: 6.2
import PackageDescription

// A package of its own: nobody who builds the product builds its benchmarks.
let package = Package(
    name: "benchmarks",
    dependencies: [
        .package(name: "analyst-copilot", path: ".."),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    ],
    targets: [
        .executableTarget(
            name: "RPCBench",
            dependencies: [
                .product(name: "RPC", package: "analyst-copilot"),
                .product(name: "Core", package: "analyst-copilot"),
                .product(name: "Platform", package: "analyst-copilot"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: [
                .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
            ]),
        .executableTarget(
            name: "SearchBench",
            dependencies: [
                .product(name: "Search", package: "analyst-copilot"),
                .product(name: "Core", package: "analyst-copilot"),
            ],
            swiftSettings: [.enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("MemberImportVisibility")]),
    ]
)
