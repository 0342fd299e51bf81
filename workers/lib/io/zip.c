/* Zip archives, written: local headers with what they are of, then the directory. */
#include "io/zip.h"

enum { DIRECTORY_MAX = 32 << 20, HEADER_MAX = 512, BLOCK = 64 << 10, ENTRIES_MAX = UINT16_MAX };

/* By half bytes: a table small enough to be written down. */
static uint32_t crc32_of(uint32_t crc, const unsigned char *s, size_t len)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= s[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static void put(struct st_buf *b, int bytes, uint64_t value)
{
    for (int i = 0; i < bytes; i++)
        st_buf_char(b, (char)(value >> 8 * i & 0xff));
}

/* What local header and directory have in common: UTF-8 names, stored, 1 January 1980. */
static void put_entry(struct st_buf *b, const char *name, uint32_t crc, uint64_t size)
{
    put(b, 2, 20); /* version needed */
    put(b, 2, 0x0800);
    put(b, 2, 0);
    put(b, 4, 0x00210000);
    put(b, 4, crc);
    put(b, 4, size);
    put(b, 4, size);
    put(b, 2, strlen(name));
    put(b, 2, 0);
}

static void fail(struct st_zip *z, int error)
{
    if (z->error == 0)
        z->error = error;
}

static void write_out(struct st_zip *z, const void *data, size_t len)
{
    if (z->error == 0 && len && fwrite(data, 1, len, z->out) != len)
        fail(z, ST_E_UNAVAILABLE);
    z->at += len;
}

/* The entry's headers; its bytes come behind. */
static void begin_entry(struct st_zip *z, const char *name, uint32_t crc, uint64_t size)
{
    struct st_buf local = ST_BUF(HEADER_MAX);
    if (strlen(name) > ST_ZIP_NAME_MAX || z->entries == ENTRIES_MAX || z->at + size > UINT32_MAX - DIRECTORY_MAX)
        fail(z, ST_E_TOO_LARGE);
    put(&z->directory, 4, 0x02014b50);
    put(&z->directory, 2, 20); /* made by */
    put_entry(&z->directory, name, crc, size);
    put(&z->directory, 6, 0); /* comment, disk, attributes */
    put(&z->directory, 4, 0);
    put(&z->directory, 4, z->at);
    st_buf_str(&z->directory, name);
    put(&local, 4, 0x04034b50);
    put_entry(&local, name, crc, size);
    st_buf_str(&local, name);
    write_out(z, local.data, local.len);
    st_buf_release(&local);
    z->entries++;
}

void st_zip_begin(struct st_zip *z, FILE *out)
{
    *z = (struct st_zip){.out = out, .directory = ST_BUF(DIRECTORY_MAX)};
}

void st_zip_add(struct st_zip *z, const char *name, const void *data, size_t len)
{
    begin_entry(z, name, crc32_of(0, data, len), len);
    write_out(z, data, len);
}

/* Read twice: the checksum stands before the bytes. One that changes meanwhile is found out by its length alone. */
void st_zip_add_file(struct st_zip *z, const char *name, const char *path)
{
    unsigned char block[BLOCK];
    uint32_t crc = 0;
    uint64_t size = 0, copied = 0;
    FILE *in = fopen(path, "re");
    for (size_t n; in && (n = fread(block, 1, sizeof(block), in)) > 0; size += n)
        crc = crc32_of(crc, block, n);
    if (!in || ferror(in) || fseek(in, 0, SEEK_SET) != 0)
        fail(z, ST_E_UNAVAILABLE);
    begin_entry(z, name, crc, size);
    for (size_t n; z->error == 0 && (n = fread(block, 1, sizeof(block), in)) > 0; copied += n)
        write_out(z, block, n);
    if (copied != size)
        fail(z, ST_E_UNAVAILABLE);
    if (in)
        fclose(in);
}

int st_zip_end(struct st_zip *z)
{
    struct st_buf end = ST_BUF(HEADER_MAX);
    uint64_t at = z->at;
    if (z->directory.failed)
        fail(z, ST_E_TOO_LARGE);
    write_out(z, z->directory.data, z->directory.len);
    put(&end, 4, 0x06054b50);
    put(&end, 4, 0);
    put(&end, 2, z->entries);
    put(&end, 2, z->entries);
    put(&end, 4, z->directory.len);
    put(&end, 4, at);
    put(&end, 2, 0);
    write_out(z, end.data, end.len);
    st_buf_release(&end);
    st_buf_release(&z->directory);
    if (fflush(z->out) != 0)
        fail(z, ST_E_UNAVAILABLE);
    return z->error;
}
