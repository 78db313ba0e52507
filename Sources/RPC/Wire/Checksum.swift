internal import CACPProtos

/// CRC-32C, which frames carry when the receiver asked for it.
enum Checksum {
    /// Bytes of a checksum at the end of a frame.
    static let bytes = 4

    static func crc32c(_ bytes: UnsafeRawBufferPointer) -> UInt32 { acp_crc32c(bytes.baseAddress, bytes.count) }

    /// The same by table, as on processors without the instruction.
    static func crc32cByTable(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        acp_crc32c_by_table(bytes.baseAddress, bytes.count)
    }
}
