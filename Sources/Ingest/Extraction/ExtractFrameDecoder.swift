internal import CACPProtos
internal import CProtobufC

/// A frame of a parser's output.
enum ExtractFrame {
    case document(ExtractedContent, pageCount: Int)
    case page(ExtractedContent.Page)
    case block(ExtractedContent.Block)
    case drop(ExtractedContent.Drop)
    case end(blocks: Int, textBytes: Int, directionControls: Int)
    case failure(reason: String, message: String)
}

/// How a parser process ended.
struct ExtractReport {
    /// -1 when a signal ended it.
    var exitStatus: Int32
    /// 0 when none did.
    var signal: UInt32
    var cpuMicroseconds: UInt64
    var memoryPeakBytes: UInt64
}

/// The wire form of `extract.proto`. The only place of this module that knows it.
enum ExtractFrameDecoder {
    /// nil for anything that is not one well-formed frame.
    static func frame(_ bytes: UnsafeRawBufferPointer) -> ExtractFrame? {
        guard
            let message = acp__v1__extract_frame__unpack(nil, bytes.count, bytes.bindMemory(to: UInt8.self).baseAddress)
        else { return nil }
        defer { acp__v1__extract_frame__free_unpacked(message, nil) }
        switch message.pointee.frame_case {
        case ACP__V1__EXTRACT_FRAME__FRAME_DOCUMENT: return document(message.pointee.document.pointee)
        case ACP__V1__EXTRACT_FRAME__FRAME_PAGE:
            let page = message.pointee.page.pointee
            return .page(ExtractedContent.Page(number: Int(page.number), width: page.width, height: page.height))
        case ACP__V1__EXTRACT_FRAME__FRAME_BLOCK: return block(message.pointee.block.pointee)
        case ACP__V1__EXTRACT_FRAME__FRAME_DROP: return drop(message.pointee.drop.pointee)
        case ACP__V1__EXTRACT_FRAME__FRAME_END:
            let end = message.pointee.end.pointee
            return .end(
                blocks: Int(end.blocks), textBytes: Int(clamping: end.text_bytes), directionControls: Int(end.direction_controls))
        case ACP__V1__EXTRACT_FRAME__FRAME_FAILURE:
            let failure = message.pointee.failure.pointee
            guard let reason = text(failure.reason), let message = text(failure.message) else { return nil }
            return .failure(reason: reason, message: message)
        default: return nil
        }
    }

    private static func document(_ message: Acp__V1__ExtractedDocument) -> ExtractFrame? {
        guard let mediaType = text(message.media_type).flatMap(MediaType.init(rawValue:)), let title = text(message.title),
            let encoding = text(message.encoding), let language = text(message.language),
            let parserName = text(message.parser_name), let parserVersion = text(message.parser_version)
        else { return nil }
        var content = ExtractedContent(mediaType: mediaType)
        content.title = title
        content.encoding = encoding
        content.language = language
        content.parserName = parserName
        content.parserVersion = parserVersion
        for index in 0..<message.n_properties {
            guard let property = message.properties[index]?.pointee, let key = text(property.key), let value = text(property.value)
            else { return nil }
            content.properties.append(ExtractedContent.Property(key: key, value: value))
        }
        return .document(content, pageCount: Int(message.page_count))
    }

    private static func block(_ message: Acp__V1__ExtractedBlock) -> ExtractFrame? {
        guard let text = text(message.text), !text.isEmpty else { return nil }
        let kind: ExtractedContent.Block.Kind
        switch message.kind {
        case ACP__V1__EXTRACTED_BLOCK_KIND__EXTRACTED_BLOCK_KIND_HEADING: kind = .heading(level: Int(message.level))
        case ACP__V1__EXTRACTED_BLOCK_KIND__EXTRACTED_BLOCK_KIND_PARAGRAPH: kind = .paragraph
        case ACP__V1__EXTRACTED_BLOCK_KIND__EXTRACTED_BLOCK_KIND_LIST_ITEM: kind = .listItem(depth: Int(message.level))
        case ACP__V1__EXTRACTED_BLOCK_KIND__EXTRACTED_BLOCK_KIND_TABLE: kind = .table(headerRows: Int(message.header_rows))
        case ACP__V1__EXTRACTED_BLOCK_KIND__EXTRACTED_BLOCK_KIND_CODE:
            guard let language = Self.text(message.language) else { return nil }
            kind = .code(language: language)
        case ACP__V1__EXTRACTED_BLOCK_KIND__EXTRACTED_BLOCK_KIND_QUOTE: kind = .quote
        default: return nil
        }
        return .block(
            ExtractedContent.Block(kind: kind, text: text, page: Int(message.page), continues: message.continues != 0))
    }

    private static func drop(_ message: Acp__V1__ExtractedDrop) -> ExtractFrame? {
        let reason: ExtractedContent.Drop.Reason
        switch message.reason {
        case ACP__V1__EXTRACTED_DROP_REASON__EXTRACTED_DROP_REASON_BOILERPLATE: reason = .boilerplate
        case ACP__V1__EXTRACTED_DROP_REASON__EXTRACTED_DROP_REASON_ACTIVE_CONTENT: reason = .activeContent
        case ACP__V1__EXTRACTED_DROP_REASON__EXTRACTED_DROP_REASON_HIDDEN: reason = .hidden
        case ACP__V1__EXTRACTED_DROP_REASON__EXTRACTED_DROP_REASON_IMAGE_WITHOUT_TEXT: reason = .imageWithoutText
        case ACP__V1__EXTRACTED_DROP_REASON__EXTRACTED_DROP_REASON_BLANK_PAGE: reason = .blankPage
        case ACP__V1__EXTRACTED_DROP_REASON__EXTRACTED_DROP_REASON_PAGE_DAMAGED: reason = .pageDamaged
        case ACP__V1__EXTRACTED_DROP_REASON__EXTRACTED_DROP_REASON_STRUCTURE_LIMIT: reason = .structureLimit
        default: return nil
        }
        guard message.byte_start <= message.byte_end else { return nil }
        return .drop(
            ExtractedContent.Drop(
                reason: reason, page: Int(message.page), bytes: message.byte_start..<message.byte_end, count: Int(message.count)))
    }

    /// protobuf-c does not check UTF-8.
    private static func text(_ start: UnsafePointer<CChar>?) -> String? { start.flatMap { String(validatingCString: $0) } }

    static func report(_ bytes: [UInt8]) -> ExtractReport? {
        guard let message = acp__v1__extract_report__unpack(nil, bytes.count, bytes) else { return nil }
        defer { acp__v1__extract_report__free_unpacked(message, nil) }
        return ExtractReport(
            exitStatus: message.pointee.exit_status, signal: message.pointee.signal,
            cpuMicroseconds: message.pointee.cpu_microseconds, memoryPeakBytes: message.pointee.memory_peak_bytes)
    }

    /// The Landlock version of ExtractReady, and its parsers as `name version`.
    static func ready(_ bytes: [UInt8]) -> (landlockVersion: Int, parsers: [String])? {
        guard let message = acp__v1__extract_ready__unpack(nil, bytes.count, bytes) else { return nil }
        defer { acp__v1__extract_ready__free_unpacked(message, nil) }
        var parsers: [String] = []
        for index in 0..<message.pointee.n_parsers {
            guard let parser = message.pointee.parsers[index]?.pointee, let name = text(parser.name), let version = text(parser.version)
            else { return nil }
            parsers.append("\(name) \(version)")
        }
        return (Int(message.pointee.landlock_version), parsers)
    }

    /// An ExtractStart for an original of `byteCount` bytes.
    static func start(_ mediaType: MediaType, _ limits: ExtractLimits, byteCount: Int) -> [UInt8] {
        var message = Acp__V1__ExtractStart()
        acp__v1__extract_start__init(&message)
        var wire = Acp__V1__ExtractLimits()
        acp__v1__extract_limits__init(&wire)
        wire.memory_bytes_max = limits.memoryBytesMax
        wire.cpu_seconds_max = limits.cpuSeconds(byteCount: byteCount)
        wire.output_bytes_max = limits.outputBytesMax
        wire.pages_max = limits.pagesMax
        wire.blocks_max = limits.blocksMax
        wire.nesting_max = limits.nestingMax
        var name = Array(mediaType.rawValue.utf8CString)
        return withUnsafeMutablePointer(to: &wire) { wire in
            name.withUnsafeMutableBufferPointer { name in
                message.media_type = name.baseAddress
                message.limits = wire
                var bytes = [UInt8](repeating: 0, count: acp__v1__extract_start__get_packed_size(&message))
                acp__v1__extract_start__pack(&message, &bytes)
                return bytes
            }
        }
    }
}
