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

        /// A message that is converted from and to protobuf-c's struct `C`.
        protocol CConvertible {
            associatedtype C
            init(c: UnsafePointer<C>)
            /// Initialises all of `c`; what it points to lives in `arena`.
            func fill(_ c: UnsafeMutablePointer<C>, _ arena: PackArena)
        }

        extension CConvertible {
            static func unpack(
                _ bytes: UnsafeRawBufferPointer, _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>,
                _ limits: DecodeLimits
            ) throws -> Self {
                try Codec.unpack(bytes, descriptor, limits) { Self(c: $0.assumingMemoryBound(to: C.self)) }
            }

            func pack(into buffer: inout ByteBuffer) {
                Codec.pack(into: &buffer) { UnsafeMutableRawPointer($0.message(self)) }
            }
        }

        func swiftMessage<M: CConvertible>(_ c: UnsafeMutablePointer<M.C>?) -> M? {
            c.map { M(c: $0) }
        }

        func swiftMessages<M: CConvertible>(_ base: UnsafeMutablePointer<UnsafeMutablePointer<M.C>?>?, _ count: Int) -> [M] {
            UnsafeBufferPointer(start: base, count: base == nil ? 0 : count).compactMap { $0.map { M(c: $0) } }
        }

        func swiftArray<C, T>(_ base: UnsafeMutablePointer<C>?, _ count: Int, _ value: (C) -> T) -> [T] {
            UnsafeBufferPointer(start: base, count: base == nil ? 0 : count).map(value)
        }

        /// Of pairs with the same key the last one counts, as protobuf demands.
        func swiftMap<C, K: MapKey, V>(
            _ base: UnsafeMutablePointer<UnsafeMutablePointer<C>?>?, _ count: Int,
            _ pair: (UnsafeMutablePointer<C>) -> (K, V)
        ) -> [K: V] {
            var map: [K: V] = [:]
            for entry in UnsafeBufferPointer(start: base, count: base == nil ? 0 : count) {
                guard let entry else { continue }
                let (key, value) = pair(entry)
                map[key] = value
            }
            return map
        }

        extension PackArena {
            func message<M: CConvertible>(_ message: M) -> UnsafeMutablePointer<M.C> {
                let c = allocate(M.C.self)
                message.fill(c, self)
                return c
            }

            func messages<M: CConvertible>(_ messages: [M]) -> UnsafeMutablePointer<UnsafeMutablePointer<M.C>?>? {
                array(messages) { message($0) }
            }

            func array<T, C>(_ values: [T], _ value: (T) -> C) -> UnsafeMutablePointer<C>? {
                guard !values.isEmpty else { return nil }
                let base = allocate(C.self, count: values.count)
                for (index, element) in values.enumerated() { (base + index).initialize(to: value(element)) }
                return base
            }

            /// Pairs in the order of their keys, so that equal messages have equal bytes.
            func map<C, K: MapKey, V>(
                _ map: [K: V], _ fill: (UnsafeMutablePointer<C>, K, V) -> Void
            ) -> UnsafeMutablePointer<UnsafeMutablePointer<C>?>? {
                array(map.sorted { K.precedes($0.key, $1.key) }) { pair in
                    let entry = allocate(C.self)
                    fill(entry, pair.key, pair.value)
                    return entry
                }
            }
        }

        /// What protobuf allows as the key of a map.
        protocol MapKey: Hashable {
            /// The order in which pairs are written.
            static func precedes(_ left: Self, _ right: Self) -> Bool
        }

        extension MapKey where Self: Comparable {
            static func precedes(_ left: Self, _ right: Self) -> Bool { left < right }
        }

        extension Int32: MapKey {}
        extension Int64: MapKey {}
        extension UInt32: MapKey {}
        extension UInt64: MapKey {}

        extension Bool: MapKey {
            static func precedes(_ left: Bool, _ right: Bool) -> Bool { !left && right }
        }

        extension String: MapKey {
            static func precedes(_ left: String, _ right: String) -> Bool { left.utf8.lexicographicallyPrecedes(right.utf8) }
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
