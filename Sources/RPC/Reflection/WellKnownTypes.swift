internal import CACPProtos
internal import CProtobufC

/// Messages with a JSON form of their own.
enum WellKnownTypes {
    /// The JSON codec trusts their names: a message that calls itself `google.protobuf.Timestamp` must be one.
    /// - Throws: `Failure` INTERNAL `BAD_DESCRIPTOR`.
    static func check(_ schema: MessageSchema) throws {
        guard schema.typeName.hasPrefix("google.protobuf."), let ours = MessageCatalogue.descriptor(schema.typeName)
        else { return }
        let theirs = schema.descriptor
        let isSame =
            ours.pointee.n_fields == theirs.pointee.n_fields && !schema.isMapEntry
            && (0..<Int(ours.pointee.n_fields)).allSatisfy { index in
                let (a, b) = (ours.pointee.fields[index], theirs.pointee.fields[index])
                return a.id == b.id && a.type == b.type
                    && (a.label == PROTOBUF_C_LABEL_REPEATED) == (b.label == PROTOBUF_C_LABEL_REPEATED)
                    && (a.flags ^ b.flags) & UInt32(PROTOBUF_C_FIELD_FLAG_ONEOF.rawValue) == 0
            }
        guard isSame else { throw ProtoReader.bad("its \(schema.typeName) is not that of protobuf") }
    }
}
