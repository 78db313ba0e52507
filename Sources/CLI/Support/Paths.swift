internal import Glibc

/// `path` from the root, without `.` and `..`; symbolic links stay.
public func absolutePath(_ path: String) -> String {
    var full = path
    if path == "~" || path.hasPrefix("~/"), let home = getenv("HOME") {
        full = String(cString: home) + path.dropFirst(1)
    } else if !path.hasPrefix("/"), let current = getcwd(nil, 0) {
        full = String(cString: current) + "/" + path
        free(current)
    }
    var parts: [Substring] = []
    for part in full.split(separator: "/") {
        switch part {
        case ".": continue
        case "..": _ = parts.popLast()
        default: parts.append(part)
        }
    }
    return "/" + parts.joined(separator: "/")
}

/// The system's words for an error number.
func systemError(_ code: Int32) -> String {
    strerror(code).map { String(cString: $0) } ?? "error \(code)"
}

/// Opens, reads and closes a small file; standard input for `-`. Blocks: call it on `FileThread` when the file may be slow.
/// - Returns: the bytes, or the error number.
func readSmallFile(_ path: String, bytesMax: Int) -> Result<[UInt8], SystemError> {
    let descriptor = path == "-" ? 0 : open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return .failure(SystemError(code: errno)) }
    defer { if descriptor != 0 { close(descriptor) } }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while bytes.count <= bytesMax {
        let count = read(descriptor, &buffer, buffer.count)
        if count < 0 {
            if errno == EINTR { continue }
            return .failure(SystemError(code: errno))
        }
        if count == 0 { return .success(bytes) }
        bytes.append(contentsOf: buffer[..<count])
    }
    return .failure(SystemError(code: EFBIG))
}

struct SystemError: Error {
    let code: Int32
}
