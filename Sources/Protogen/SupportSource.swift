/// The part of the generated Swift that is the same for all proto files.
enum SupportSource {
    static var files: [OutputFile] {
        [
            OutputFile(path: Outputs.swift + "GeneratedSupport.swift", text: "// \(SourceWriter.banner)\n" + support),
            OutputFile(
                path: Outputs.swift + "Timestamp+WallTime.swift", text: "// \(SourceWriter.banner)\n" + timestamp),
        ]
    }

    private static let support = """
        internal import CACPProtos
        internal import CProtobufC
        internal import NIOCore

        /// A message that is read by way of protobuf-c's struct `C` and writes itself.
        protocol CConvertible: WireWritable {
            associatedtype C
            init(c: UnsafePointer<C>)
        }

        extension CConvertible {
            static func unpack(
                _ bytes: UnsafeRawBufferPointer, _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>,
                _ limits: DecodeLimits
            ) throws -> Self {
                try Codec.unpack(bytes, descriptor, limits) { Self(c: $0.assumingMemoryBound(to: C.self)) }
            }

            func pack(into buffer: inout ByteBuffer) {
                Codec.pack(into: &buffer) { write(to: &$0) }
            }
        }

        func swiftMessage<M: CConvertible>(_ c: UnsafeMutablePointer<M.C>?) -> M? {
            c.map { M(c: $0) }
        }

        func swiftMessages<M: CConvertible>(_ base: UnsafeMutablePointer<UnsafeMutablePointer<M.C>?>?, _ count: Int) -> [M] {
            guard let base, count > 0 else { return [] }
            var messages: [M] = []
            messages.reserveCapacity(count)
            for index in 0..<count {
                if let c = base[index] { messages.append(M(c: c)) }
            }
            return messages
        }

        func swiftArray<C, T>(_ base: UnsafeMutablePointer<C>?, _ count: Int, _ value: (C) -> T) -> [T] {
            guard let base, count > 0 else { return [] }
            var values: [T] = []
            values.reserveCapacity(count)
            for index in 0..<count { values.append(value(base[index])) }
            return values
        }

        /// Of pairs with the same key the last one counts, as protobuf demands.
        func swiftMap<C, K: Hashable, V>(
            _ base: UnsafeMutablePointer<UnsafeMutablePointer<C>?>?, _ count: Int,
            _ pair: (UnsafeMutablePointer<C>) -> (K, V)
        ) -> [K: V] {
            guard let base, count > 0 else { return [:] }
            var map = [K: V](minimumCapacity: count)
            for index in 0..<count {
                guard let entry = base[index] else { continue }
                let (key, value) = pair(entry)
                map[key] = value
            }
            return map
        }

        """

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
