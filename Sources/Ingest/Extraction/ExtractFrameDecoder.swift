internal import NIOCore
internal import RPC

/// A frame of a parser's output.
enum ParserFrame {
    case document(ExtractedContent, pageCount: Int)
    case page(ExtractedContent.Page)
    case block(ExtractedContent.Block)
    case drop(ExtractedContent.Drop)
    case end(blocks: Int, textBytes: Int, directionControls: Int)
    case failure(reason: String, message: String)
}

/// How a parser process ended.
struct ParserReport {
    /// -1 when a signal ended it.
    var exitStatus: Int32
    /// 0 when none did.
    var signal: UInt32
    var cpuMicroseconds: UInt64
    var memoryPeakBytes: UInt64
}

/// The messages of `extract.proto` as this module sees them. The only place of the module that knows the wire.
enum ExtractFrameDecoder {
    /// A frame is at most 1 MiB and unpacks to little more.
    private static let limits = DecodeLimits(unpackedBytesMax: 4 << 20)

    /// nil for anything that is not one well-formed frame: text that is not UTF-8, unknown kinds, impossible values.
    static func frame(_ bytes: UnsafeRawBufferPointer) -> ParserFrame? {
        switch (try? ExtractFrame.decode(bytes, limits: limits))?.frame {
        case .document(let message): document(message)
        case .page(let page):
            .page(ExtractedContent.Page(number: Int(page.number), width: page.width, height: page.height))
        case .block(let message): block(message)
        case .drop(let message): drop(message)
        case .end(let end):
            .end(
                blocks: Int(end.blocks), textBytes: Int(clamping: end.textBytes),
                directionControls: Int(end.directionControls))
        case .failure(let failure): .failure(reason: failure.reason, message: failure.message)
        case nil: nil
        }
    }

    private static func document(_ message: ExtractedDocument) -> ParserFrame? {
        guard let mediaType = MediaType(rawValue: message.mediaType) else { return nil }
        var content = ExtractedContent(mediaType: mediaType)
        content.title = message.title
        content.encoding = message.encoding
        content.language = message.language
        content.parserName = message.parserName
        content.parserVersion = message.parserVersion
        content.properties = message.properties.map { ExtractedContent.Property(key: $0.key, value: $0.value) }
        return .document(content, pageCount: Int(message.pageCount))
    }

    private static func block(_ message: ExtractedBlock) -> ParserFrame? {
        guard !message.text.isEmpty else { return nil }
        let kind: ExtractedContent.Block.Kind
        switch message.kind {
        case .heading: kind = .heading(level: Int(message.level))
        case .paragraph: kind = .paragraph
        case .listItem: kind = .listItem(depth: Int(message.level))
        case .table: kind = .table(headerRows: Int(message.headerRows))
        case .code: kind = .code(language: message.language)
        case .quote: kind = .quote
        case .unspecified, .unrecognized: return nil
        }
        return .block(
            ExtractedContent.Block(
                kind: kind, text: message.text, page: Int(message.page), continues: message.continues))
    }

    private static func drop(_ message: ExtractedDrop) -> ParserFrame? {
        let reason: ExtractedContent.Drop.Reason
        switch message.reason {
        case .boilerplate: reason = .boilerplate
        case .activeContent: reason = .activeContent
        case .hidden: reason = .hidden
        case .imageWithoutText: reason = .imageWithoutText
        case .blankPage: reason = .blankPage
        case .pageDamaged: reason = .pageDamaged
        case .structureLimit: reason = .structureLimit
        case .unspecified, .unrecognized: return nil
        }
        guard message.byteStart <= message.byteEnd else { return nil }
        return .drop(
            ExtractedContent.Drop(
                reason: reason, page: Int(message.page), bytes: message.byteStart..<message.byteEnd,
                count: Int(message.count)))
    }

    static func report(_ bytes: [UInt8]) -> ParserReport? {
        let message = bytes.withUnsafeBytes { try? ExtractReport.decode($0, limits: limits) }
        return message.map {
            ParserReport(
                exitStatus: $0.exitStatus, signal: $0.signal, cpuMicroseconds: $0.cpuMicroseconds,
                memoryPeakBytes: $0.memoryPeakBytes)
        }
    }

    /// The Landlock version of ExtractReady, and its parsers as `name version`.
    static func ready(_ bytes: [UInt8]) -> (landlockVersion: Int, parsers: [String])? {
        let message = bytes.withUnsafeBytes { try? ExtractReady.decode($0, limits: limits) }
        return message.map {
            (Int($0.landlockVersion), $0.parsers.map { parser in "\(parser.name) \(parser.version)" })
        }
    }

    /// An ExtractStart for an original of `byteCount` bytes.
    static func start(_ mediaType: MediaType, _ limits: ExtractionLimits, byteCount: Int) -> [UInt8] {
        var message = ExtractStart()
        message.mediaType = mediaType.rawValue
        var wire = ExtractLimits()
        wire.memoryBytesMax = limits.memoryBytes(byteCount: byteCount)
        wire.cpuSecondsMax = limits.cpuSeconds(byteCount: byteCount)
        wire.outputBytesMax = limits.outputBytesMax
        wire.pagesMax = limits.pagesMax
        wire.blocksMax = limits.blocksMax
        wire.nestingMax = limits.nestingMax
        message.limits = wire
        return Array(message.encoded().readableBytesView)
    }
}
