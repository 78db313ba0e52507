internal import Core
internal import Crypto

/// The text of an API key: `acp_<environment>_<30 base62><6 base62 checksum>`.
///
/// The checksum (CRC-32 of what precedes it) lets a mistyped key be refused without a look into the database and lets scanners
/// recognise keys with certainty. The first eight of the thirty characters are the public id; the other 22 carry 131 bits.
public struct APIKey: Sendable, Hashable {
    public static let secretCharacters = 30
    static let checksumCharacters = 6
    static let publicCharacters = 8
    public static let environmentBytesMax = 16

    private static let alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

    /// The whole key; shown once and never stored or logged.
    public let text: String
    /// The visible beginning, by which people and logs name the key.
    public let publicID: String

    /// A new random key. `environment` is 1 to 16 of a–z and 0–9. Throws INVALID_ARGUMENT.
    public init(environment: String) throws {
        guard Self.isEnvironment(environment.utf8) else {
            throw Failure.invalid(field: "environment", "must be 1 to \(Self.environmentBytesMax) of a-z and 0-9")
        }
        var generator = SystemRandomNumberGenerator()
        let secret = (0..<Self.secretCharacters).map { _ in
            Self.alphabet[Int.random(in: 0..<Self.alphabet.count, using: &generator)]
        }
        let body = Array("acp_\(environment)_".utf8) + secret
        self.init(body: body, checksum: Self.checksum(body))
    }

    /// Parses a key; nil for anything that is not one, including a wrong checksum.
    public init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        let tail = Self.secretCharacters + Self.checksumCharacters
        guard bytes.starts(with: "acp_".utf8), bytes.count <= 5 + Self.environmentBytesMax + tail,
            bytes.count > 5 + tail,
            bytes[bytes.count - tail - 1] == UInt8(ascii: "_")
        else { return nil }
        guard Self.isEnvironment(bytes[4..<(bytes.count - tail - 1)]) else { return nil }
        guard bytes.suffix(tail).allSatisfy(Self.alphabet.contains) else { return nil }
        let body = Array(bytes.dropLast(Self.checksumCharacters))
        let checksum = Self.checksum(body)
        guard Array(bytes.suffix(Self.checksumCharacters)) == checksum else { return nil }
        self.init(body: body, checksum: checksum)
    }

    private init(body: [UInt8], checksum: [UInt8]) {
        text = String(decoding: body + checksum, as: UTF8.self)
        publicID = String(
            decoding: body.dropLast(Self.secretCharacters - Self.publicCharacters), as: UTF8.self)
    }

    /// What is stored instead of the key.
    func hmac(pepper: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: SymmetricKey(data: pepper)))
    }

    /// Compares in constant time.
    func matches(_ stored: [UInt8], pepper: [UInt8]) -> Bool {
        HMAC<SHA256>.isValidAuthenticationCode(
            stored, authenticating: Array(text.utf8), using: SymmetricKey(data: pepper))
    }

    private static func isEnvironment(_ bytes: some Collection<UInt8>) -> Bool {
        (1...environmentBytesMax).contains(bytes.count)
            && bytes.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) }
    }

    /// CRC-32 (IEEE 802.3, reflected) in base62, most significant digit first.
    private static func checksum(_ bytes: [UInt8]) -> [UInt8] {
        var crc: UInt32 = 0xFFFF_FFFF
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        var rest = crc ^ 0xFFFF_FFFF
        var digits: [UInt8] = []
        for _ in 0..<checksumCharacters {
            digits.append(alphabet[Int(rest % 62)])
            rest /= 62
        }
        return digits.reversed()
    }
}

extension APIKey: CustomStringConvertible, CustomDebugStringConvertible {
    /// Only the public id: a key that is printed by accident gives nothing away.
    public var description: String { "\(publicID)…" }
    public var debugDescription: String { description }
}
