/// The part of the generated Swift that is the same for all proto files.
enum SupportSource {
    static var files: [OutputFile] {
        [
            OutputFile(
                path: Outputs.swift + "Timestamp+WallTime.swift", text: "// \(SourceWriter.banner)\n" + timestamp)
        ]
    }

    private static let timestamp = """
        public import Core

        extension Timestamp {
            public init(_ time: WallTime) {
                // Nanoseconds count forward from the second, also before 1970.
                let (quotient, remainder) = time.microseconds.quotientAndRemainder(dividingBy: 1_000_000)
                let borrow: Int64 = remainder < 0 ? 1 : 0
                self.init(seconds: quotient - borrow, nanos: Int32((remainder + borrow * 1_000_000) * 1000))
            }

            /// The moment in whole microseconds. Beyond WallTime's range it is the nearest moment within.
            public var wallTime: WallTime {
                let (micros, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
                let (sum, sumOverflow) = micros.addingReportingOverflow(Int64(nanos / 1000))
                guard !overflow, !sumOverflow else { return WallTime(microseconds: seconds > 0 ? .max : .min) }
                return WallTime(microseconds: sum)
            }
        }

        extension WallTime {
            public init(_ timestamp: Timestamp) { self = timestamp.wallTime }
        }

        """
}
