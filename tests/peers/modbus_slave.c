/* A Modbus slave on libmodbus, written against its manual pages and not against this project's code.
 *
 *   modbus_slave rtu PATH BAUD PARITY FILE
 *   modbus_slave tcp PORT FILE               (127.0.0.1, several connections)
 *
 * FILE holds lines `unit function address value...`, numbers decimal or 0x hexadecimal, # begins a comment;
 * function 1 is coils, 2 discrete inputs, 3 holding registers, 4 input registers, and the values lie at
 * consecutive addresses counted from 0. Prints "ready", then "request UNIT FUNCTION ADDRESS COUNT" for each
 * request to a listed unit. Other units get no answer; an address that is not listed gets exception 2;
 * writes change what is listed.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

#define SPACE 65536
#define RTU_ROOM (MODBUS_RTU_MAX_ADU_LENGTH + 16)
#define TABLES 5 /* by function code, 1 to 4 */

typedef struct {
    modbus_mapping_t *values;
    unsigned char *listed[TABLES]; /* per table: 1 where the address exists */
} unit_t;

static unit_t *units[256];

static void fail(const char *what, const char *detail)
{
    fprintf(stderr, "modbus_slave: %s %s\n", what, detail);
    exit(2);
}

static unit_t *unit_made(int number)
{
    if (!units[number]) {
        unit_t *unit = calloc(1, sizeof *unit);
        unit->values = modbus_mapping_new(SPACE, SPACE, SPACE, SPACE);
        for (int table = 1; table < TABLES; table++)
            unit->listed[table] = calloc(SPACE, 1);
        units[number] = unit;
    }
    return units[number];
}

static void put(unit_t *unit, int table, int address, int value)
{
    unit->listed[table][address] = 1;
    switch (table) {
    case 1: unit->values->tab_bits[address] = value != 0; break;
    case 2: unit->values->tab_input_bits[address] = value != 0; break;
    case 3: unit->values->tab_registers[address] = value; break;
    case 4: unit->values->tab_input_registers[address] = value; break;
    }
}

static long number(char **text, long low, long high, const char *line)
{
    char *end;
    long value = strtol(*text, &end, 0);
    if (end == *text || value < low || value > high)
        fail("bad line:", line);
    *text = end;
    return value;
}

static int has_more(char **text)
{
    while (isspace((unsigned char)**text))
        (*text)++;
    return **text != '\0' && **text != '#';
}

static void load(const char *path)
{
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen(path, "r");
    if (!file)
        fail("cannot read", path);
    while (getline(&line, &size, file) >= 0) {
        char *at = line;
        if (!has_more(&at))
            continue;
        unit_t *unit = unit_made(number(&at, 1, 255, line));
        int table = number(&at, 1, 4, line);
        long address = number(&at, 0, SPACE - 1, line);
        while (has_more(&at)) {
            if (address >= SPACE)
                fail("address beyond 65535:", line);
            put(unit, table, address++, number(&at, -32768, 65535, line) & 0xffff);
        }
    }
    free(line);
    fclose(file);
}

static int word(const uint8_t *bytes) { return bytes[0] << 8 | bytes[1]; }

static int all_listed(const unit_t *unit, int table, int address, int count)
{
    for (int i = 0; i < count; i++)
        if (address + i >= SPACE || !unit->listed[table][address + i])
            return 0;
    return 1;
}

/* pdu starts at the function code. Limits on the count are libmodbus' business (exception 3). */
static int addresses_exist(const unit_t *unit, const uint8_t *pdu)
{
    int address = word(pdu + 1), count = word(pdu + 3);
    switch (pdu[0]) {
    case 1: case 2: case 3: case 4: return all_listed(unit, pdu[0], address, count);
    case 5: return all_listed(unit, 1, address, 1);
    case 6: case 22: return all_listed(unit, 3, address, 1);
    case 15: return all_listed(unit, 1, address, count);
    case 16: return all_listed(unit, 3, address, count);
    case 23: return all_listed(unit, 3, address, count) && all_listed(unit, 3, word(pdu + 5), word(pdu + 7));
    default: return 1; /* an unknown function: libmodbus answers exception 1 */
    }
}

static void serve(modbus_t *context, const uint8_t *query, int length)
{
    const uint8_t *pdu = query + modbus_get_header_length(context);
    const unit_t *unit = units[pdu[-1]];
    int has_count = pdu[0] != 5 && pdu[0] != 6 && pdu[0] != 22;
    if (!unit)
        return;
    printf("request %d %d %d %d\n", pdu[-1], pdu[0], word(pdu + 1), has_count ? word(pdu + 3) : 1);
    if (addresses_exist(unit, pdu))
        modbus_reply(context, query, length, unit->values);
    else
        modbus_reply_exception(context, query, MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS);
}

/* modbus_receive serves one unit: it drops a frame to another one, and then takes the next frame for that
 * unit's reply. This slave has several units, so frames are received here: length by function code, CRC, and
 * silence as the end of what was not understood (Modbus over Serial Line V1.02, 2.5.1 and 6.2.2). */
static int rtu_length(const uint8_t *frame)
{
    switch (frame[1]) {
    case 1: case 2: case 3: case 4: case 5: case 6: return 8;
    case 15: case 16: return 9 + frame[6];
    case 22: return 10;
    case 23: return 13 + frame[10];
    default: return 4;
    }
}

/* How many bytes tell the whole length: functions 15, 16 and 23 hold a byte count. */
static int head_length(int function)
{
    return function == 23 ? 11 : function == 15 || function == 16 ? 7 : 4;
}

static int crc_is_right(const uint8_t *frame, int length)
{
    uint16_t crc = 0xffff;
    for (int i = 0; i < length - 2; i++) {
        crc ^= frame[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xa001 : crc >> 1;
    }
    return frame[length - 2] == (crc & 0xff) && frame[length - 1] == crc >> 8;
}

#define SILENCE_US 50000

static int read_some(int fd, uint8_t *to, int room, int may_wait)
{
    struct timeval silence = {0, SILENCE_US};
    fd_set fds;
    FD_ZERO(&fds);
    FD_SET(fd, &fds);
    if (select(fd + 1, &fds, NULL, NULL, may_wait ? NULL : &silence) <= 0)
        return 0;
    int got = read(fd, to, room);
    if (got <= 0)
        fail("lost the line:", got ? strerror(errno) : "closed");
    return got;
}

/* The length of the next whole frame, or 0 after anything else and the silence behind it. */
static int rtu_receive(int fd, uint8_t *frame)
{
    int got = 0, wanted = 4;
    memset(frame, 0, RTU_ROOM);
    while (got < wanted) {
        int more = read_some(fd, frame + got, wanted - got, got == 0);
        if (!more)
            return 0;
        got += more;
        wanted = got < head_length(frame[1]) ? head_length(frame[1]) : rtu_length(frame);
        if (wanted > MODBUS_RTU_MAX_ADU_LENGTH)
            break;
    }
    if (got == wanted && crc_is_right(frame, got))
        return got;
    while (read_some(fd, frame, RTU_ROOM, 0))
        ;
    return 0;
}

static void run_rtu(const char *path, int baud, char parity)
{
    uint8_t frame[RTU_ROOM];
    modbus_t *context = modbus_new_rtu(path, baud, parity, 8, 1);
    if (!context || modbus_set_slave(context, 1) || modbus_connect(context))
        fail("cannot open", path);
    puts("ready");
    for (;;) {
        int length = rtu_receive(modbus_get_socket(context), frame);
        if (length)
            serve(context, frame, length);
    }
}

static void run_tcp(int port)
{
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    modbus_t *context = modbus_new_tcp("127.0.0.1", port);
    int listener = context ? modbus_tcp_listen(context, 8) : -1;
    int highest = listener;
    fd_set open_fds, ready_fds;
    if (listener < 0)
        fail("cannot listen:", modbus_strerror(errno));
    FD_ZERO(&open_fds);
    FD_SET(listener, &open_fds);
    puts("ready");
    for (;;) {
        ready_fds = open_fds;
        if (select(highest + 1, &ready_fds, NULL, NULL, NULL) < 0)
            fail("select:", strerror(errno));
        for (int fd = 0; fd <= highest; fd++) {
            if (!FD_ISSET(fd, &ready_fds))
                continue;
            if (fd == listener) {
                int client = modbus_tcp_accept(context, &listener);
                if (client >= 0 && client < FD_SETSIZE) {
                    FD_SET(client, &open_fds);
                    highest = client > highest ? client : highest;
                }
                continue;
            }
            modbus_set_socket(context, fd);
            int length = modbus_receive(context, query);
            if (length > 0) {
                serve(context, query, length);
            } else if (length < 0) {
                close(fd);
                FD_CLR(fd, &open_fds);
            }
        }
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 6 && !strcmp(argv[1], "rtu")) {
        load(argv[5]);
        run_rtu(argv[2], atoi(argv[3]), argv[4][0]);
    } else if (argc == 4 && !strcmp(argv[1], "tcp")) {
        load(argv[3]);
        run_tcp(atoi(argv[2]));
    }
    fail("usage: modbus_slave rtu PATH BAUD PARITY FILE | tcp PORT FILE", "");
}
