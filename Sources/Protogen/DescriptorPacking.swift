internal import CACPProtos
internal import CProtobufC

/// Serialized descriptions of files, as small as reflection can use them.
enum DescriptorPacking {
    /// Packs the description of `file`. Of its source locations only those with a comment stay: the others say where in a text that
    /// nobody has at run time, and are four fifths of the bytes.
    static func pack(
        _ file: UnsafeMutablePointer<Google__Protobuf__FileDescriptorProto>, keepsComments: Bool
    ) -> [UInt8] {
        guard let info = file.pointee.source_code_info else { return pack(file) }
        let all = items(info.pointee.location, info.pointee.n_location)
        let kept = keepsComments ? all.filter(hasComment) : []
        // The file is given back as it came: its owner frees what it allocated.
        var pointers: [UnsafeMutablePointer<Google__Protobuf__SourceCodeInfo__Location>?] = kept
        let (location, count) = (info.pointee.location, info.pointee.n_location)
        defer {
            info.pointee.location = location
            info.pointee.n_location = count
            file.pointee.source_code_info = info
        }
        return pointers.withUnsafeMutableBufferPointer { pointers in
            info.pointee.location = pointers.baseAddress
            info.pointee.n_location = pointers.count
            if pointers.isEmpty { file.pointee.source_code_info = nil }
            return pack(file)
        }
    }

    private static func hasComment(
        _ location: UnsafeMutablePointer<Google__Protobuf__SourceCodeInfo__Location>
    ) -> Bool {
        location.pointee.leading_comments != nil || location.pointee.trailing_comments != nil
            || location.pointee.n_leading_detached_comments > 0
    }

    private static func pack(_ file: UnsafeMutablePointer<Google__Protobuf__FileDescriptorProto>) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: google__protobuf__file_descriptor_proto__get_packed_size(file)) {
            $1 = google__protobuf__file_descriptor_proto__pack(file, $0.baseAddress)
        }
    }
}
